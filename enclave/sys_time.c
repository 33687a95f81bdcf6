// SPDX-License-Identifier: Apache-2.0
/* Clocks and sleeping. Time is the host's word: an enclave has no clock of its own to check it by (see clock.c). */
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "restart.h"

#define NSEC_PER_SEC 1000000000L
#define NSEC_PER_USEC 1000L

long sys_clock_gettime(struct syscall *call)
{
    struct __kernel_timespec now;
    int64_t sec, nsec;
    long error = clock_read(call->compartment, call->args[0], &sec, &nsec);

    if (error)
        return error;
    now.tv_sec = sec;
    now.tv_nsec = nsec;
    return copy_to_program((void *)call->args[1], &now, sizeof(now));
}

long sys_gettimeofday(struct syscall *call)
{
    if (call->args[0]) {
        struct __kernel_old_timeval now;
        int64_t sec, nsec;
        long error = clock_read(call->compartment, CLOCK_REALTIME, &sec, &nsec);
        if (error)
            return error;
        now.tv_sec = sec;
        now.tv_usec = nsec / NSEC_PER_USEC;
        if (copy_to_program((void *)call->args[0], &now, sizeof(now)))
            return -EFAULT;
    }
    if (call->args[1]) { /* the kernel's own time zone, which nobody sets */
        struct timezone zone = {0, 0};
        if (copy_to_program((void *)call->args[1], &zone, sizeof(zone)))
            return -EFAULT;
    }
    return 0;
}

long sys_time(struct syscall *call)
{
    int64_t sec, nsec;
    long error = clock_read(call->compartment, CLOCK_REALTIME, &sec, &nsec);

    if (error)
        return error;
    if (call->args[0] && copy_to_program((void *)call->args[0], &sec, sizeof(sec)))
        return -EFAULT;
    return sec;
}

static int is_valid(const struct __kernel_timespec *time)
{
    return time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < NSEC_PER_SEC;
}

/* The host cannot say that more is left than was asked for. */
static int is_remainder(const struct __kernel_timespec *left, const struct __kernel_timespec *asked)
{
    return is_valid(left) &&
           (left->tv_sec < asked->tv_sec || (left->tv_sec == asked->tv_sec && left->tv_nsec <= asked->tv_nsec));
}

static long sleep_on(uint32_t clock, uint32_t flags, uint64_t request_pointer, uint64_t remainder_pointer)
{
    struct __kernel_timespec request, left;
    struct __kernel_timespec *host_request = (struct __kernel_timespec *)host_buffer();
    struct __kernel_timespec *host_left = host_request + 1;

    if (copy_from_program(&request, (const void *)request_pointer, sizeof(request)))
        return -EFAULT;
    if (!is_valid(&request))
        return -EINVAL;
    *(volatile struct __kernel_timespec *)host_request = request;
    *(volatile struct __kernel_timespec *)host_left = request; /* the mate may find a signal before it sleeps */
    long result = host_syscall_interruptible(__NR_clock_nanosleep, clock, flags, (uint64_t)host_request,
                                             (uint64_t)host_left, 0, 0);
    if (result != -EINTR)
        return result > 0 ? -EIO : result;
    if (remainder_pointer && !(flags & TIMER_ABSTIME)) {
        left = *(volatile struct __kernel_timespec *)host_left;
        if (!is_remainder(&left, &request))
            left = request;
        if (copy_to_program((void *)remainder_pointer, &left, sizeof(left)))
            return -EFAULT;
    }
    return -ERESTARTNOHAND;
}

long sys_nanosleep(struct syscall *call)
{
    return sleep_on(CLOCK_MONOTONIC, 0, call->args[0], call->args[1]);
}

long sys_clock_nanosleep(struct syscall *call)
{
    return sleep_on(call->args[0], call->args[1], call->args[2], call->args[3]);
}
