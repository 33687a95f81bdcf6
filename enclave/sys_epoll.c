// SPDX-License-Identifier: Apache-2.0
/* epoll. The host waits; what an event means to the program is looked up in the LibOS, see epoll_table.h. */
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/time_types.h>

#include "epoll_table.h"
#include "restart.h"
#include "temporary_mask.h"

/* Exchange buffer: mask and time-out, then the events */
struct epoll_head {
    uint64_t mask;
    uint64_t reserved;
    struct __kernel_timespec timeout;
};
#define EVENTS_MAX ((HOST_BUFFER_SIZE - sizeof(struct epoll_head)) / sizeof(struct epoll_event))

#define EVENT_BATCH 16

static long create(struct syscall *call, uint64_t flags)
{
    long result = host_syscall(__NR_epoll_create1, flags, 0, 0, 0, 0, 0);

    if (result < 0)
        return result;
    if (result > INT_MAX || fd_is_hidden(call->compartment, result))
        return -EIO;
    epoll_table_forget(call->compartment, result);
    return result;
}

long sys_epoll_create(struct syscall *call)
{
    return (int)call->args[0] > 0 ? create(call, 0) : -EINVAL;
}

long sys_epoll_create1(struct syscall *call)
{
    return create(call, call->args[0]);
}

/* The host's part of epoll_ctl, with a cookie as the data. */
static long control(const struct syscall *call, uint32_t events, uint64_t cookie)
{
    struct epoll_event *host_event = (struct epoll_event *)host_buffer();
    struct epoll_event event = {.events = events, .data = cookie};

    *(volatile struct epoll_event *)host_event = event;
    long result = host_syscall(__NR_epoll_ctl, call->args[0], call->args[1], call->args[2], (uint64_t)host_event, 0, 0);
    return result > 0 ? -EIO : result;
}

static long add(const struct syscall *call, const struct epoll_key *key, const struct epoll_event *event)
{
    uint64_t cookie;
    long result = epoll_table_reserve(call->compartment, key, event->data, &cookie);

    if (result)
        return result;
    result = control(call, event->events, cookie);
    if (result)
        epoll_table_cancel(call->compartment, cookie);
    else
        epoll_table_commit(call->compartment, cookie);
    return result;
}

/* The data changes first: an event that comes meanwhile may carry the new one, but must not be lost. */
static long modify(const struct syscall *call, const struct epoll_key *key, const struct epoll_event *event)
{
    uint64_t cookie, former;

    if (epoll_table_change(call->compartment, key, event->data, &cookie, &former))
        return add(call, key, event); /* registered under another number of the same descriptor */
    long result = control(call, event->events, cookie);
    if (result)
        epoll_table_change(call->compartment, key, former, &cookie, &former);
    return result;
}

long sys_epoll_ctl(struct syscall *call)
{
    struct epoll_key key = {.epoll = call->args[0], .descriptor = call->args[2]};
    struct epoll_event event = {0};
    int operation = call->args[1];

    if (fd_is_hidden(call->compartment, key.epoll) || fd_is_hidden(call->compartment, key.descriptor))
        return -EBADF;
    if (operation != EPOLL_CTL_DEL && copy_from_program(&event, (const void *)call->args[3], sizeof(event)))
        return -EFAULT;
    if (operation == EPOLL_CTL_ADD)
        return add(call, &key, &event);
    if (operation == EPOLL_CTL_MOD)
        return modify(call, &key, &event);
    long result = control(call, 0, 0);
    if (!result && operation == EPOLL_CTL_DEL)
        epoll_table_remove(call->compartment, &key);
    return result;
}

/* Events with the program's data in place of the cookies. How many are known, or -EFAULT. */
static long take_events(const struct syscall *call, const struct epoll_event *host_events, long count)
{
    struct epoll_event batch[EVENT_BATCH];
    long known = 0;

    for (long done = 0; done < count;) {
        int filled = 0;
        for (; done < count && filled < EVENT_BATCH; done++) {
            struct epoll_event event = *(const volatile struct epoll_event *)&host_events[done];
            uint64_t data;
            if (epoll_table_data(call->compartment, call->args[0], event.data, &data))
                continue;
            event.data = data;
            batch[filled++] = event;
        }
        if (copy_to_program((struct epoll_event *)call->args[1] + known, batch, filled * sizeof(batch[0])))
            return -EFAULT;
        known += filled;
    }
    return known;
}

struct epoll_wait {
    uint32_t number; /* __NR_epoll_pwait or __NR_epoll_pwait2 */
    uint64_t timeout;
    const uint64_t *mask; /* or NULL */
};

/* The mask, if any, is in the exchange buffer already. */
static long wait_once(struct syscall *call, const struct epoll_wait *wait, int wanted)
{
    struct epoll_head *head = (struct epoll_head *)host_buffer();
    struct epoll_event *events = (struct epoll_event *)(head + 1);
    long result = temporary_mask_wait(call->thread, wait->mask, wait->number, call->args[0], (uint64_t)events, wanted,
                                      wait->timeout, wait->mask ? (uint64_t)&head->mask : 0, sizeof(head->mask));

    if (result < 0)
        return restartable_uncaught(result);
    return result > wanted ? -EIO : result;
}

static long wait_for_events(struct syscall *call, const struct epoll_wait *wait)
{
    struct epoll_head *head = (struct epoll_head *)host_buffer();
    int wanted = call->args[2];

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    if (wanted <= 0 || wanted > (int)(INT_MAX / sizeof(struct epoll_event)))
        return -EINVAL;
    if (wanted > (int)EVENTS_MAX)
        wanted = EVENTS_MAX;
    if (wait->mask)
        *(volatile uint64_t *)&head->mask = *wait->mask & ~SIGNALS_OF_FAULTS;
    for (;;) {
        long result = wait_once(call, wait, wanted);
        if (result <= 0)
            return result;
        result = take_events(call, (struct epoll_event *)(head + 1), result);
        if (result) /* else they were all of registrations that are gone by now */
            return result;
    }
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
