// SPDX-License-Identifier: Apache-2.0
/* Links: the one to the program itself names the mate on the host. The stat family is in the table. */
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "proc_view.h"
#include "restart.h"
#include "string.h"

static long read_link(struct syscall *call, uint64_t directory, uint64_t path, uint64_t to, int64_t capacity)
{
    struct compartment *compartment = call->compartment;
    char *buffer = host_buffer();

    if (fd_is_hidden(compartment, directory))
        return -EBADF;
    if (capacity <= 0)
        return -EINVAL;
    if (proc_view_find(compartment, (const char *)path) == PROC_EXE) {
        int64_t size = strlen(compartment->program_path);
        if (size > capacity)
            size = capacity;
        return copy_to_program((void *)to, compartment->program_path, size) ? -EFAULT : size;
    }
    long length = copy_string_from_program(buffer, (const char *)path, PATH_SIZE);
    if (length < 0)
        return length;
    if (capacity > PATH_SIZE)
        capacity = PATH_SIZE;
    char *target = buffer + PATH_SIZE;
    long result =
        host_syscall(__NR_readlinkat, directory, (uint64_t)buffer, (uint64_t)target, (uint64_t)capacity, 0, 0);
    if (result < 0)
        return result;
    if (result > capacity)
        return -EIO;
    return copy_to_program((void *)to, target, result) ? -EFAULT : result;
}

long sys_readlink(struct syscall *call)
{
    return read_link(call, AT_FDCWD, call->args[0], call->args[1], (int)call->args[2]);
}

long sys_readlinkat(struct syscall *call)
{
    return read_link(call, call->args[0], call->args[1], call->args[2], (int)call->args[3]);
}
