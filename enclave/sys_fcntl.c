// SPDX-License-Identifier: Apache-2.0
/* fcntl: what the third argument is depends on the command. */
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "restart.h"

enum fcntl_argument { FCNTL_UNKNOWN, FCNTL_NOTHING, FCNTL_VALUE, FCNTL_IN, FCNTL_OUT, FCNTL_INOUT, FCNTL_DESCRIPTOR };

struct fcntl_command {
    enum fcntl_argument argument;
    uint32_t size;
};

static struct fcntl_command describe(uint64_t command)
{
    switch ((uint32_t)command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return (struct fcntl_command){FCNTL_DESCRIPTOR, 0};
    case F_GETFD:
    case F_GETFL:
    case F_GETOWN:
    case F_GETSIG:
    case F_GETLEASE:
    case F_GETPIPE_SZ:
    case F_GET_SEALS:
        return (struct fcntl_command){FCNTL_NOTHING, 0};
    case F_SETFD:
    case F_SETFL:
    case F_SETOWN:
    case F_SETSIG:
    case F_SETLEASE:
    case F_NOTIFY:
    case F_SETPIPE_SZ:
    case F_ADD_SEALS:
        return (struct fcntl_command){FCNTL_VALUE, 0};
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return (struct fcntl_command){FCNTL_IN, sizeof(struct flock)};
    case F_GETLK:
    case F_OFD_GETLK:
        return (struct fcntl_command){FCNTL_INOUT, sizeof(struct flock)};
    case F_SETOWN_EX:
        return (struct fcntl_command){FCNTL_IN, sizeof(struct f_owner_ex)};
    case F_GETOWN_EX:
        return (struct fcntl_command){FCNTL_OUT, sizeof(struct f_owner_ex)};
    case F_SET_RW_HINT:
    case F_SET_FILE_RW_HINT:
        return (struct fcntl_command){FCNTL_IN, sizeof(uint64_t)};
    case F_GET_RW_HINT:
    case F_GET_FILE_RW_HINT:
        return (struct fcntl_command){FCNTL_OUT, sizeof(uint64_t)};
    default:
        return (struct fcntl_command){FCNTL_UNKNOWN, 0};
    }
}

long sys_fcntl(struct syscall *call)
{
    struct fcntl_command command = describe(call->args[1]);
    uint64_t argument = call->args[2];
    char *buffer = host_buffer();

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    if (command.argument == FCNTL_UNKNOWN)
        return -EINVAL;
    if (command.argument == FCNTL_IN || command.argument == FCNTL_INOUT)
        if (copy_from_program(buffer, (const void *)argument, command.size))
            return -EFAULT;
    if (command.size)
        argument = (uint64_t)buffer;
    else if (command.argument == FCNTL_NOTHING)
        argument = 0; /* what the register holds is not the host's business */

    long result = host_syscall_interruptible(__NR_fcntl, call->args[0], call->args[1], argument, 0, 0, 0);
    if (result < 0)
        return restartable(result);
    if (result > INT_MAX)
        return -EIO;
    if (command.argument == FCNTL_DESCRIPTOR && fd_is_hidden(call->compartment, result))
        return -EIO;
    if (command.argument == FCNTL_OUT || command.argument == FCNTL_INOUT)
        if (copy_to_program((void *)call->args[2], buffer, command.size))
            return -EFAULT;
    return result;
}
