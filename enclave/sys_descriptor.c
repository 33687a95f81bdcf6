// SPDX-License-Identifier: Apache-2.0
/* Descriptors as such: opening, pairs, ranges, control. */
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>

#include "proc_view.h"
#include "restart.h"

static long new_descriptor(const struct syscall *call, long result)
{
    if (result < 0)
        return restartable(result);
    return result > INT_MAX || fd_is_hidden(call->compartment, result) ? -EIO : result;
}

static long open_path(struct syscall *call, uint64_t directory, uint64_t path, uint64_t flags, uint64_t mode)
{
    enum proc_file file = proc_view_find(call->compartment, (const char *)path);

    if (fd_is_hidden(call->compartment, directory))
        return -EBADF;
    if (file != PROC_NONE && file != PROC_EXE && !(flags & O_PATH))
        return proc_view_open(call->compartment, file, flags);
    char *buffer = host_buffer();
    long error = proc_view_put_path(call->compartment, buffer, (const char *)path, PATH_SIZE);
    if (error < 0)
        return error;
    return new_descriptor(call,
                          host_syscall_interruptible(__NR_openat, directory, (uint64_t)buffer, flags, mode, 0, 0));
}

long sys_open(struct syscall *call)
{
    return open_path(call, AT_FDCWD, call->args[0], call->args[1], call->args[2]);
}

long sys_openat(struct syscall *call)
{
    return open_path(call, call->args[0], call->args[1], call->args[2], call->args[3]);
}

/* No views of /proc here: who asks for RESOLVE_* wants that very file. */
long sys_openat2(struct syscall *call)
{
    char *buffer = host_buffer();
    uint64_t size = call->args[3];

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    if (size < sizeof(struct open_how))
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    long error = proc_view_put_path(call->compartment, buffer, (const char *)call->args[1], PATH_SIZE);
    if (error < 0)
        return error;
    if (copy_from_program(buffer + PATH_SIZE, (const void *)call->args[2], size))
        return -EFAULT;
    return new_descriptor(call, host_syscall_interruptible(__NR_openat2, call->args[0], (uint64_t)buffer,
                                                           (uint64_t)(buffer + PATH_SIZE), size, 0, 0));
}

/* Two new descriptors that the host wrote to the start of its buffer. */
static long take_pair(const struct syscall *call, long result, uint64_t to)
{
    int pair[2];

    if (result < 0)
        return result;
    if (result)
        return -EIO;
    const volatile int *host_pair = (const volatile int *)host_buffer();
    for (int i = 0; i < 2; i++) {
        pair[i] = host_pair[i];
        if (pair[i] < 0 || fd_is_hidden(call->compartment, pair[i]))
            return -EIO;
    }
    return copy_to_program((void *)to, pair, sizeof(pair));
}

static long open_pipe(struct syscall *call, uint64_t flags)
{
    return take_pair(call, host_syscall(__NR_pipe2, (uint64_t)host_buffer(), flags, 0, 0, 0, 0), call->args[0]);
}

long sys_pipe(struct syscall *call)
{
    return open_pipe(call, 0);
}

long sys_pipe2(struct syscall *call)
{
    return open_pipe(call, call->args[1]);
}

long sys_socketpair(struct syscall *call)
{
    return take_pair(
        call, host_syscall(__NR_socketpair, call->args[0], call->args[1], call->args[2], (uint64_t)host_buffer(), 0, 0),
        call->args[3]);
}

/* The mate's descriptors are one range: close what is below it, then what is above. */
long sys_close_range(struct syscall *call)
{
    uint32_t first = call->args[0], last = call->args[1];
    uint32_t hidden_first = call->compartment->hidden_fd_first, hidden_last = call->compartment->hidden_fd_last;

    if (first > last)
        return -EINVAL;
    if (last < hidden_first || first > hidden_last)
        return host_syscall(__NR_close_range, first, last, call->args[2], 0, 0, 0);
    if (first < hidden_first) {
        long error = host_syscall(__NR_close_range, first, hidden_first - 1, call->args[2], 0, 0, 0);
        if (error)
            return error;
    }
    if (last > hidden_last)
        return host_syscall(__NR_close_range, hidden_last + 1, last, call->args[2], 0, 0, 0);
    return 0;
}
