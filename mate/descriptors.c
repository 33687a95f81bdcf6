/* SPDX-License-Identifier: Apache-2.0 */
/* Where the mate keeps its own descriptors: in one range that the LibOS hides from the program. */
#include <linux/fcntl.h>
#include <linux/resource.h>

#include "attach.h"
#include "log.h"
#include "syscall.h"

/*
 * The top of the range below RLIMIT_NOFILE, but no higher than this: the kernel allocates 8 bytes for each number up to
 * the highest one in use, 8 MiB a process where the limit is a million. Most limits are this one anyway.
 */
#define HIDDEN_FD_LIMIT 1024

static int highest_descriptor(void)
{
    struct rlimit64 limit;

    if (syscall4(__NR_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) || limit.rlim_cur > HIDDEN_FD_LIMIT)
        return HIDDEN_FD_LIMIT - 1;
    return (int)limit.rlim_cur - 1;
}

static int is_open(int descriptor)
{
    return !syscall_failed(syscall2(__NR_fcntl, descriptor, F_GETFD));
}

static int *descriptor_at(struct mate *self, unsigned index)
{
    return index < self->lease.descriptor_count ? &self->lease.descriptors[index] : &self->executable;
}

/* After an execve the descriptors are in a row already; the program's own may now be in the way of a better one. */
static int are_in_a_row(struct mate *self, unsigned count)
{
    for (unsigned i = 1; i < count; i++)
        if (*descriptor_at(self, i) != *descriptor_at(self, 0) + (int)i)
            return 0;
    return 1;
}

static int can_move(int first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (first + (int)i <= 2 || is_open(first + (int)i))
            return 0;
    return 1;
}

/* They are mostly in a row: then one call closes them. */
static void close_all(const int *descriptors, unsigned count)
{
    for (unsigned i = 0; i < count;) {
        unsigned end = i + 1;

        while (end < count && descriptors[end] == descriptors[end - 1] + 1)
            end++;
        /* not in every seccomp profile */
        if (!syscall3(__NR_close_range, descriptors[i], descriptors[end - 1], 0))
            i = end;
        for (; i < end; i++)
            syscall1(__NR_close, descriptors[i]);
    }
}

static void move(struct mate *self, int first, unsigned count)
{
    int old[LEASE_DESCRIPTORS_MAX + 1];

    for (unsigned i = 0; i < count; i++) {
        int *descriptor = descriptor_at(self, i);
        long result = syscall3(__NR_dup3, *descriptor, first + (int)i, O_CLOEXEC);

        if (syscall_failed(result))
            die("cannot move descriptor %d to %d: error %d", *descriptor, first + (int)i, (int)-result);
        old[i] = *descriptor;
        *descriptor = first + (int)i;
    }
    close_all(old, count);
}

static void keep(struct mate *self, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        syscall3(__NR_fcntl, *descriptor_at(self, i), F_SETFD, FD_CLOEXEC);
}

void descriptors_hide(struct mate *self)
{
    unsigned count = self->lease.descriptor_count + 1;
    int last = highest_descriptor();
    int first = last - (int)count + 1;

    if (can_move(first, count))
        move(self, first, count);
    else if (are_in_a_row(self, count))
        keep(self, count);
    else
        die("no room for the mate's descriptors from %d to %d: raise the limit of open files (ulimit -n), or leave "
            "those numbers free",
            first, last);
    self->hidden_fd_first = *descriptor_at(self, 0);
    self->hidden_fd_last = self->executable;
}
