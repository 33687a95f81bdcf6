/* SPDX-License-Identifier: Apache-2.0 */
/* New processes: vfork, also by way of clone, as posix_spawn asks for it. */
#include "sys_process.h"

#include <linux/errno.h>
#include <linux/sched.h>

#include "vfork.h"

#define SIGCHLD 17

static long begin_child(struct syscall *call, uint64_t stack)
{
    struct registers child = *call->registers;
    child.rax = 0;
    if (stack)
        child.rsp = stack;
    return vfork_process(call->thread, &child);
}

long sys_clone_process(struct syscall *call)
{
    uint64_t flags = call->args[0];
    if (flags == (CLONE_VM | CLONE_VFORK | SIGCHLD))
        return begin_child(call, call->args[1]);
    if (!__atomic_exchange_n(&call->compartment->fork_logged, 1, __ATOMIC_RELAXED))
        host_log(LOG_WARNING,
                 "clone: fork (flags 0x%lx) is not supported (ENOSYS); programs that use vfork or posix_spawn run",
                 flags);
    return -ENOSYS;
}

long sys_vfork(struct syscall *call)
{
    return begin_child(call, 0);
}
