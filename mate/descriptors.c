/* SPDX-License-Identifier: Apache-2.0 */
/* Where the mate keeps its own descriptors: in one range that the LibOS hides from the program. */
#include <linux/fcntl.h>
#include <linux/resource.h>

#include "attach.h"
#include "log.h"
#include "syscall.h"

/*
 * The top of the range below RLIMIT_NOFILE, but no higher than this: the kernel allocates 8 bytes for each number up to
 * the highest one in use, 8 MiB a process where the limit is a million.
 */
#define HIDDEN_FD_LIMIT 4096

static int highest_descriptor(void)
{
    struct rlimit64 limit;

    if (syscall4(__NR_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) || limit.rlim_cur > HIDDEN_FD_LIMIT)
        return HIDDEN_FD_LIMIT - 1;
    return (int)limit.rlim_cur - 1;
}

static int move_descriptor(int from, int first, int last)
{
    long moved = syscall3(__NR_fcntl, from, F_DUPFD_CLOEXEC, first);

    if (syscall_failed(moved) || moved > last)
        die("no room for the mate's descriptors from %d to %d: raise the limit of open files (ulimit -n)", first, last);
    syscall1(__NR_close, from);
    return (int)moved;
}

void descriptors_hide(struct mate *self)
{
    int count = (int)self->lease.descriptor_count + 1;
    int last = highest_descriptor();
    int first = last - count + 1;

    for (unsigned i = 0; i < self->lease.descriptor_count; i++)
        self->lease.descriptors[i] = move_descriptor(self->lease.descriptors[i], first, last);
    self->executable = move_descriptor(self->executable, first, last);
    self->hidden_fd_first = first;
    self->hidden_fd_last = last;
}
