// SPDX-License-Identifier: Apache-2.0
/* poll and select. */
#include <asm/poll.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/time_types.h>

#include "restart.h"
#include "temporary_mask.h"

#define NSEC_PER_MSEC 1000000L
#define NSEC_PER_USEC 1000L
#define MSEC_PER_SEC 1000L
#define USEC_PER_SEC 1000000L

/* Exchange buffer: time-out and mask first, then the descriptors */
struct wait_head {
    struct __kernel_timespec timeout;
    uint64_t mask;
    uint64_t mask_pointer, mask_size; /* what pselect6 wants */
    uint64_t reserved[3];
};
#define POLL_BATCH 32

static struct wait_head *put_head(const struct __kernel_timespec *timeout, const uint64_t *mask)
{
    struct wait_head *head = (struct wait_head *)host_buffer();
    struct wait_head copy = {.mask_pointer = mask ? (uint64_t)&head->mask : 0, .mask_size = sizeof(head->mask)};

    if (timeout)
        copy.timeout = *timeout;
    if (mask)
        copy.mask = *mask & ~SIGNALS_OF_FAULTS;
    *(volatile struct wait_head *)head = copy;
    return head;
}

/* What is left of the time-out, as the host says but never more than was asked for. */
static struct __kernel_timespec time_left(const struct __kernel_timespec *asked)
{
    struct __kernel_timespec left = *(volatile struct __kernel_timespec *)&((struct wait_head *)host_buffer())->timeout;
    int sane = left.tv_sec >= 0 && left.tv_nsec >= 0 && left.tv_nsec < USEC_PER_SEC * NSEC_PER_USEC &&
               (left.tv_sec < asked->tv_sec || (left.tv_sec == asked->tv_sec && left.tv_nsec <= asked->tv_nsec));

    return sane ? left : *asked;
}

/* Only the kernel's answer, revents, goes to the program: the rest of each entry stays as the program wrote it. */
static long take_events(uint64_t program, const struct pollfd *host, uint64_t count)
{
    struct pollfd batch[POLL_BATCH];

    for (uint64_t done = 0; done < count;) {
        uint64_t part = count - done < POLL_BATCH ? count - done : POLL_BATCH;
        struct pollfd *entries = (struct pollfd *)program + done;
        if (copy_from_program(batch, entries, part * sizeof(*entries)))
            return -EFAULT;
        for (uint64_t i = 0; i < part; i++)
            batch[i].revents = *(const volatile short *)&host[done + i].revents;
        if (copy_to_program(entries, batch, part * sizeof(*entries)))
            return -EFAULT;
        done += part;
    }
    return 0;
}

static long poll_until(struct syscall *call, const struct __kernel_timespec *timeout, const uint64_t *mask)
{
    struct wait_head *head = put_head(timeout, mask);
    struct pollfd *entries = (struct pollfd *)(head + 1);
    uint64_t count = (uint32_t)call->args[1];

    if (count > (HOST_BUFFER_SIZE - sizeof(*head)) / sizeof(*entries))
        return -EINVAL;
    if (copy_from_program(entries, (const void *)call->args[0], count * sizeof(*entries)))
        return -EFAULT;
    long result = temporary_mask_wait(call->thread, mask, __NR_ppoll, (uint64_t)entries, count,
                                      timeout ? (uint64_t)&head->timeout : 0, mask ? (uint64_t)&head->mask : 0,
                                      sizeof(head->mask), 0);
    if (result < 0)
        return restartable_uncaught(result);
    if ((uint64_t)result > count)
        return -EIO;
    return take_events(call->args[0], entries, count) ? -EFAULT : result;
}

long sys_poll(struct syscall *call)
{
    int milliseconds = call->args[2];
    struct __kernel_timespec timeout = {
        .tv_sec = milliseconds / MSEC_PER_SEC,
        .tv_nsec = milliseconds % MSEC_PER_SEC * NSEC_PER_MSEC,
    };

    return poll_until(call, milliseconds < 0 ? 0 : &timeout, 0);
}

long sys_ppoll(struct syscall *call)
{
    struct __kernel_timespec timeout;
    uint64_t mask;
    const uint64_t *given = call->args[3] ? &mask : 0;

    if (call->args[2] && copy_from_program(&timeout, (const void *)call->args[2], sizeof(timeout)))
        return -EFAULT;
    if (given && call->args[4] != sizeof(mask))
        return -EINVAL;
    if (given && copy_from_program(&mask, (const void *)call->args[3], sizeof(mask)))
        return -EFAULT;
    if (!call->args[2])
        return poll_until(call, 0, given);
    long result = poll_until(call, &timeout, given);
    struct __kernel_timespec left = time_left(&timeout);
    copy_to_program((void *)call->args[2], &left, sizeof(left)); /* as in Linux: a failure here is not the call's */
    return result;
}

#define SETS 3
#define SET_WORD_BITS 64

/*
 * The kernel writes whole words. Bits that the program did not set cannot be in the answer, so a host which
 * sets them is not believed.
 */
static long take_set(uint64_t program, const char *host, uint64_t size)
{
    for (uint64_t offset = 0; offset < size; offset += sizeof(uint64_t)) {
        uint64_t word;
        if (copy_from_program(&word, (const void *)(program + offset), sizeof(word)))
            return -EFAULT;
        word &= *(const volatile uint64_t *)(host + offset);
        if (copy_to_program((void *)(program + offset), &word, sizeof(word)))
            return -EFAULT;
    }
    return 0;
}

static long select_until(struct syscall *call, const struct __kernel_timespec *timeout, const uint64_t *mask)
{
    struct wait_head *head = put_head(timeout, mask);
    char *sets = (char *)(head + 1);
    int count = call->args[0];
    uint64_t host_sets[SETS];

    if (count < 0)
        return -EINVAL;
    uint64_t size = ((uint64_t)count + SET_WORD_BITS - 1) / SET_WORD_BITS * sizeof(uint64_t);
    if (size * SETS > HOST_BUFFER_SIZE - sizeof(*head))
        return -EINVAL;
    for (int i = 0; i < SETS; i++) {
        host_sets[i] = call->args[1 + i] ? (uint64_t)sets + i * size : 0;
        if (host_sets[i] && copy_from_program((char *)host_sets[i], (const void *)call->args[1 + i], size))
            return -EFAULT;
    }
    long result =
        temporary_mask_wait(call->thread, mask, __NR_pselect6, count, host_sets[0], host_sets[1], host_sets[2],
                            timeout ? (uint64_t)&head->timeout : 0, (uint64_t)&head->mask_pointer);
    if (result < 0)
        return restartable_uncaught(result);
    if (result > SETS * (long)count)
        return -EIO;
    for (int i = 0; i < SETS; i++)
        if (host_sets[i] && take_set(call->args[1 + i], (const char *)host_sets[i], size))
            return -EFAULT;
    return result;
}

long sys_select(struct syscall *call)
{
    struct __kernel_old_timeval given;
    struct __kernel_timespec timeout;
    uint64_t pointer = call->args[4];

    if (!pointer)
        return select_until(call, 0, 0);
    if (copy_from_program(&given, (const void *)pointer, sizeof(given)))
        return -EFAULT;
    if (given.tv_sec < 0 || given.tv_usec < 0)
        return -EINVAL;
    timeout.tv_sec = given.tv_sec + given.tv_usec / USEC_PER_SEC;
    timeout.tv_nsec = given.tv_usec % USEC_PER_SEC * NSEC_PER_USEC;
    long result = select_until(call, &timeout, 0);
    struct __kernel_timespec left = time_left(&timeout);
    given.tv_sec = left.tv_sec;
    given.tv_usec = left.tv_nsec / NSEC_PER_USEC;
    copy_to_program((void *)pointer, &given, sizeof(given)); /* as in Linux: a failure here is not the call's */
    return result;
}

long sys_pselect6(struct syscall *call)
{
    struct __kernel_timespec timeout;
    uint64_t mask, pair[2] = {0, 0}; /* pointer to a mask, and its size */
    uint64_t pointer = call->args[4];

    if (pointer && copy_from_program(&timeout, (const void *)pointer, sizeof(timeout)))
        return -EFAULT;
    if (call->args[5] && copy_from_program(pair, (const void *)call->args[5], sizeof(pair)))
        return -EFAULT;
    if (pair[0] && pair[1] != sizeof(mask))
        return -EINVAL;
    if (pair[0] && copy_from_program(&mask, (const void *)pair[0], sizeof(mask)))
        return -EFAULT;
    long result = select_until(call, pointer ? &timeout : 0, pair[0] ? &mask : 0);
    if (pointer) {
        struct __kernel_timespec left = time_left(&timeout);
        copy_to_program((void *)pointer, &left, sizeof(left)); /* as in Linux: a failure here is not the call's */
    }
    return result;
}
