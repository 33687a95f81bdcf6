// SPDX-License-Identifier: Apache-2.0
/* Waiting on an epoll descriptor. The events' user data is kept by the host, so it is the host's word. */
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/time_types.h>

#include "restart.h"
#include "temporary_mask.h"

/* Exchange buffer: mask and time-out, then the events */
struct epoll_head {
    uint64_t mask;
    uint64_t reserved;
    struct __kernel_timespec timeout;
};
#define EVENTS_MAX ((HOST_BUFFER_SIZE - sizeof(struct epoll_head)) / sizeof(struct epoll_event))

struct epoll_wait {
    uint32_t number; /* __NR_epoll_pwait or __NR_epoll_pwait2 */
    uint64_t timeout;
    const uint64_t *mask; /* or NULL */
};

static long wait_for_events(struct syscall *call, const struct epoll_wait *wait)
{
    struct epoll_head *head = (struct epoll_head *)host_buffer();
    struct epoll_event *events = (struct epoll_event *)(head + 1);
    int wanted = call->args[2];

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    if (wanted <= 0 || wanted > (int)(INT_MAX / sizeof(struct epoll_event)))
        return -EINVAL;
    if (wanted > (int)EVENTS_MAX)
        wanted = EVENTS_MAX;
    if (wait->mask)
        *(volatile uint64_t *)&head->mask = *wait->mask & ~SIGNALS_OF_FAULTS;
    long result = temporary_mask_wait(call->thread, wait->mask, wait->number, call->args[0], (uint64_t)events, wanted,
                                      wait->timeout, wait->mask ? (uint64_t)&head->mask : 0, sizeof(head->mask));
    if (result == -EINTR)
        return -ERESTARTNOHAND;
    if (result <= 0)
        return result;
    if (result > wanted)
        return -EIO;
    return copy_to_program((void *)call->args[1], events, result * sizeof(*events)) ? -EFAULT : result;
}

static long read_mask(struct syscall *call, uint64_t *mask)
{
    if (call->args[5] != sizeof(*mask))
        return -EINVAL;
    return copy_from_program(mask, (const void *)call->args[4], sizeof(*mask));
}

long sys_epoll_wait(struct syscall *call)
{
    return wait_for_events(call, &(struct epoll_wait){.number = __NR_epoll_pwait, .timeout = call->args[3]});
}

long sys_epoll_pwait(struct syscall *call)
{
    struct epoll_wait wait = {.number = __NR_epoll_pwait, .timeout = call->args[3]};
    uint64_t mask;

    if (call->args[4]) {
        long error = read_mask(call, &mask);
        if (error)
            return error;
        wait.mask = &mask;
    }
    return wait_for_events(call, &wait);
}

long sys_epoll_pwait2(struct syscall *call)
{
    struct epoll_head *head = (struct epoll_head *)host_buffer();
    struct epoll_wait wait = {.number = __NR_epoll_pwait2};
    uint64_t mask;

    if (call->args[3]) {
        if (copy_from_program(&head->timeout, (const void *)call->args[3], sizeof(head->timeout)))
            return -EFAULT;
        wait.timeout = (uint64_t)&head->timeout;
    }
    if (call->args[4]) {
        long error = read_mask(call, &mask);
        if (error)
            return error;
        wait.mask = &mask;
    }
    return wait_for_events(call, &wait);
}
