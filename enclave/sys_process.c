/* SPDX-License-Identifier: Apache-2.0 */
/* New processes. */
#include "sys_process.h"

#include <linux/errno.h>

long sys_clone_process(struct syscall *call)
{
    host_log(LOG_WARNING, "clone: new processes are not supported yet (ENOSYS), flags 0x%lx", call->args[0]);
    return -ENOSYS;
}

long sys_vfork(struct syscall *call)
{
    return sys_clone_process(call);
}
