/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_MATE_EXEC_H
#define TEEMATE_MATE_EXEC_H
#include "mate.h"

/*
 * Replace this process image by a mate that runs `path` under the lease whose descriptors are given; they and the
 * executable lie in a row. `fresh`: the compartment holds no program yet. Returns -errno if the kernel refuses; then
 * nothing has changed.
 */
long exec_mate(const struct lease *lease, int executable, int fresh, const char *path, char **arguments,
               char **environment);
#endif
