// SPDX-License-Identifier: Apache-2.0
/* prctl: options about the process, passed on where they mean the same to the host process. */
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/prctl.h>

#include "passthrough.h"
#include "string.h"

#define TASK_NAME_SIZE 16

/* A name in the program's memory, NUL-padded. */
static long set_name(struct syscall *call)
{
    char name[TASK_NAME_SIZE] = {0}; /* all of it goes to the host */
    long length = copy_string_from_program(name, (const char *)call->args[1], sizeof(name));

    if (length == -ENAMETOOLONG)
        name[TASK_NAME_SIZE - 1] = 0; /* Linux cuts it */
    else if (length < 0)
        return length;
    memcpy(host_buffer(), name, sizeof(name));
    return host_syscall(__NR_prctl, PR_SET_NAME, (uint64_t)host_buffer(), 0, 0, 0, 0);
}

static long get_name(struct syscall *call)
{
    char name[TASK_NAME_SIZE];
    long error = host_syscall(__NR_prctl, PR_GET_NAME, (uint64_t)host_buffer(), 0, 0, 0, 0);

    if (error)
        return error;
    memcpy(name, host_buffer(), sizeof(name));
    name[TASK_NAME_SIZE - 1] = 0;
    return copy_to_program((void *)call->args[1], name, sizeof(name));
}

/* Options whose second argument points to an int that the kernel writes. */
static long get_int(struct syscall *call)
{
    static const struct signature signature = {
        .arguments = {{.kind = ARGUMENT_VALUE}, {.kind = ARGUMENT_OUT, .size = sizeof(int)}},
    };

    return passthrough(call, &signature);
}

static long pass_value(struct syscall *call)
{
    static const struct signature signature = {
        .result = RETURNS_VALUE,
        .arguments = {{.kind = ARGUMENT_VALUE}, {.kind = ARGUMENT_VALUE}},
    };

    return passthrough(call, &signature);
}

/* Options of which the kernel looks at all arguments, if only to insist that they are 0. */
static long pass_all_values(struct syscall *call)
{
    static const struct signature signature = {
        .result = RETURNS_VALUE,
        .arguments = {{.kind = ARGUMENT_VALUE},
                      {.kind = ARGUMENT_VALUE},
                      {.kind = ARGUMENT_VALUE},
                      {.kind = ARGUMENT_VALUE},
                      {.kind = ARGUMENT_VALUE}},
    };

    return passthrough(call, &signature);
}

long sys_prctl(struct syscall *call)
{
    switch ((int)call->args[0]) {
    case PR_SET_NAME:
        return set_name(call);
    case PR_GET_NAME:
        return get_name(call);
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER:
        return get_int(call);
    case PR_SET_PDEATHSIG:
    case PR_GET_DUMPABLE:
    case PR_SET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_SET_TIMERSLACK:
    case PR_GET_TIMERSLACK:
    case PR_SET_CHILD_SUBREAPER:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_SET_PTRACER:
        return pass_value(call);
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_NO_NEW_PRIVS:
    case PR_CAP_AMBIENT:
    case PR_SET_THP_DISABLE:
    case PR_GET_THP_DISABLE:
        return pass_all_values(call);
    case PR_GET_SECCOMP: /* a filter of the container's is not the program's */
        return 0;
    default:
        return -EINVAL;
    }
}
