// SPDX-License-Identifier: Apache-2.0
/* Who the process is. Credentials are the host process's own and their calls are in the table. */
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/errno.h>

#include "syscall.h"

long sys_getpid(struct syscall *call)
{
    return thread_process_id(call->thread);
}

/* How many struct __user_cap_data_struct go with a header of this version. */
static uint64_t capability_words(uint32_t version)
{
    switch (version) {
    case _LINUX_CAPABILITY_VERSION_1:
        return _LINUX_CAPABILITY_U32S_1;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        return _LINUX_CAPABILITY_U32S_3;
    default:
        return 0; /* the kernel answers with the version that it prefers */
    }
}

static long exchange_capabilities(struct syscall *call, int setting)
{
    struct __user_cap_header_struct header;
    struct __user_cap_header_struct *host_header = (struct __user_cap_header_struct *)host_buffer();
    char *host_data = (char *)(host_header + 1);

    if (copy_from_program(&header, (const void *)call->args[0], sizeof(header)))
        return -EFAULT;
    uint64_t size = capability_words(header.version) * sizeof(struct __user_cap_data_struct);
    *(volatile struct __user_cap_header_struct *)host_header = header;
    if (setting && copy_from_program(host_data, (const void *)call->args[1], size))
        return -EFAULT;

    long result =
        host_syscall(call->number, (uint64_t)host_header, call->args[1] ? (uint64_t)host_data : 0, 0, 0, 0, 0);
    if (!size) { /* it wrote its version, whatever the result */
        header.version = *(volatile uint32_t *)&host_header->version;
        if (copy_to_program((void *)call->args[0], &header, sizeof(header)))
            return -EFAULT;
    }
    if (result)
        return result > 0 ? -EIO : result;
    if (!setting && call->args[1] && copy_to_program((void *)call->args[1], host_data, size))
        return -EFAULT;
    return 0;
}

long sys_capget(struct syscall *call)
{
    return exchange_capabilities(call, 0);
}

long sys_capset(struct syscall *call)
{
    return exchange_capabilities(call, 1);
}
