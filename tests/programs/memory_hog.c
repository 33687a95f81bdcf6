/* SPDX-License-Identifier: Apache-2.0 */
/* Takes memory, a MiB at a time, until it is refused; says how much it got. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    int limit = argc > 1 ? atoi(argv[1]) : 1 << 20, got = 0;
    for (; got < limit; got++) {
        char *block = malloc(1 << 20);
        if (!block)
            break;
        memset(block, 1, 1 << 20);
    }
    printf(got == limit ? "all\n" : "refused\n");
    return 0;
}
