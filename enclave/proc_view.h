/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the host's /proc tells of the mate instead of the program: the link to the executable, the memory
 * map, the command line, the environment, the auxiliary vector, the list of descriptors.
 */
#ifndef TEEMATE_PROC_VIEW_H
#define TEEMATE_PROC_VIEW_H
#include <stddef.h>
#include <stdint.h>

#include "compartment.h"

enum proc_file {
    PROC_NONE = 0, /* the host's own answer is right */
    PROC_EXE,
    PROC_MAPS,
    PROC_CMDLINE,
    PROC_ENVIRON,
    PROC_AUXV,
};

/* What a path names, judged on a copy of its first bytes inside the enclave. Faults name nothing. */
enum proc_file proc_view_find(const struct compartment *compartment, const char *path);

/*
 * Copy a path that the program gave into host memory; the link to the executable becomes the program's
 * path. Length without the NUL or -errno, as copy_string_from_program.
 */
long proc_view_put_path(const struct compartment *compartment, char *to, const char *path, size_t size);

/* A new descriptor with the LibOS's own content of that file (not PROC_EXE), or -errno. */
long proc_view_open(struct compartment *compartment, enum proc_file file, uint64_t open_flags);
#endif
