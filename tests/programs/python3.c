/* SPDX-License-Identifier: Apache-2.0 */
/* The distribution's Python, started by a position-independent program. glibc only. */
#include <Python.h>

int main(int argc, char **argv)
{
    return Py_BytesMain(argc, argv);
}
