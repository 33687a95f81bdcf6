/* SPDX-License-Identifier: Apache-2.0 */
/* futex(2). Words in shared mappings are host memory, where other processes wait too: those are the host's. */
#include <linux/errno.h>
#include <linux/futex.h>
#include <linux/time_types.h>

#include "futex.h"
#include "restart.h"
#include "string.h"
#include "syscall.h"

#define NR_FUTEX 202
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define NANOSECONDS 1000000000L

struct futex_arguments {
    uint64_t address;
    uint32_t command, value;
    uint64_t timeout; /* or the second count */
    uint64_t address2;
    uint32_t value3;
    int realtime;
};

static int takes_timeout(uint32_t command)
{
    return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
}

/* The absolute time at which the wait ends. 0 or -errno. */
static long deadline_of(const struct futex_arguments *arguments, struct host_deadline *deadline)
{
    struct __kernel_timespec timeout;
    if (copy_from_program(&timeout, (const void *)arguments->timeout, sizeof(timeout)))
        return -EFAULT;
    if (timeout.tv_sec < 0 || timeout.tv_nsec < 0 || timeout.tv_nsec >= NANOSECONDS)
        return -EINVAL;
    *deadline = (struct host_deadline){.clock = arguments->realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC};
    if (arguments->command == FUTEX_WAIT_BITSET) {
        deadline->sec = timeout.tv_sec;
        deadline->nsec = timeout.tv_nsec;
        return 0;
    }
    int64_t sec, nsec;
    long error = host_clock(deadline->clock, &sec, &nsec);
    if (error)
        return error;
    nsec += timeout.tv_nsec;
    if (nsec >= NANOSECONDS) {
        nsec -= NANOSECONDS;
        sec++;
    }
    deadline->nsec = nsec;
    if (__builtin_add_overflow(sec, timeout.tv_sec, &deadline->sec))
        deadline->sec = INT64_MAX;
    return 0;
}

static long wait(struct thread *self, const struct futex_arguments *arguments, uint32_t bits)
{
    struct host_deadline deadline;
    if (!bits)
        return -EINVAL;
    if (!arguments->timeout)
        return restartable(futex_wait(self, arguments->address, arguments->value, bits, NULL));
    long error = deadline_of(arguments, &deadline);
    if (error)
        return error;
    /* a relative time-out cannot be restarted, or it would begin anew */
    long result = futex_wait(self, arguments->address, arguments->value, bits, &deadline);
    return arguments->command == FUTEX_WAIT_BITSET ? restartable(result) : restartable_uncaught(result);
}

/* The operation that FUTEX_WAKE_OP encodes in val3, on the word at `address`. Its old value in *old. */
static long modify(uint64_t address, uint32_t encoded, uint32_t *old)
{
    uint32_t operation = encoded >> 28 & 0xf;
    uint32_t argument = (uint32_t)((int32_t)(encoded << 8) >> 20); /* 12 bits, signed */
    if (operation & FUTEX_OP_OPARG_SHIFT)
        argument = 1u << (argument & 31);

    long result = load_u32_from_program(old, (const uint32_t *)address);
    while (result == 0) {
        uint32_t desired;
        switch (operation & ~FUTEX_OP_OPARG_SHIFT) {
        case FUTEX_OP_SET:
            desired = argument;
            break;
        case FUTEX_OP_ADD:
            desired = *old + argument;
            break;
        case FUTEX_OP_OR:
            desired = *old | argument;
            break;
        case FUTEX_OP_ANDN:
            desired = *old & ~argument;
            break;
        case FUTEX_OP_XOR:
            desired = *old ^ argument;
            break;
        default:
            return -ENOSYS;
        }
        result = exchange_u32_in_program((uint32_t *)address, old, desired);
        if (result <= 0)
            return result;
        result = 0; /* another thread was faster, *old is its value */
    }
    return result;
}

static int compare(uint32_t encoded, uint32_t value)
{
    int32_t argument = (int32_t)(encoded << 20) >> 20, old = (int32_t)value;
    switch (encoded >> 24 & 0xf) {
    case FUTEX_OP_CMP_EQ:
        return old == argument;
    case FUTEX_OP_CMP_NE:
        return old != argument;
    case FUTEX_OP_CMP_LT:
        return old < argument;
    case FUTEX_OP_CMP_LE:
        return old <= argument;
    case FUTEX_OP_CMP_GT:
        return old > argument;
    case FUTEX_OP_CMP_GE:
        return old >= argument;
    default:
        return -1;
    }
}

static long wake_op(struct compartment *compartment, const struct futex_arguments *arguments)
{
    uint32_t old;
    if (compare(arguments->value3, 0) < 0)
        return -ENOSYS;
    long error = modify(arguments->address2, arguments->value3, &old);
    if (error)
        return error;
    long woken = futex_wake(compartment, arguments->address, arguments->value, FUTEX_ANY_BIT);
    if (compare(arguments->value3, old))
        woken += futex_wake(compartment, arguments->address2, (uint32_t)arguments->timeout, FUTEX_ANY_BIT);
    return woken;
}

static long requeue(struct compartment *compartment, const struct futex_arguments *arguments)
{
    uint32_t move_count = (uint32_t)arguments->timeout;
    if ((int32_t)arguments->value < 0 || (int32_t)move_count < 0)
        return -EINVAL;
    return futex_requeue(compartment, arguments->address, arguments->value, move_count, arguments->address2,
                         arguments->command == FUTEX_CMP_REQUEUE ? &arguments->value3 : NULL);
}

static long on_host(struct syscall *call, const struct futex_arguments *arguments)
{
    uint64_t timeout = call->args[3];
    struct __kernel_timespec time;
    if (takes_timeout(arguments->command) && timeout) {
        if (copy_from_program(&time, (const void *)timeout, sizeof(time)))
            return -EFAULT;
        memcpy(host_buffer(), &time, sizeof(time));
        timeout = (uint64_t)host_buffer();
    }
    return restartable(host_syscall_interruptible(NR_FUTEX, call->args[0], call->args[1], call->args[2], timeout,
                                                  call->args[4], call->args[5]));
}

long sys_futex(struct syscall *call)
{
    uint32_t operation = (uint32_t)call->args[1];
    struct futex_arguments arguments = {
        .address = call->args[0],
        .command = operation & FUTEX_CMD_MASK,
        .value = (uint32_t)call->args[2],
        .timeout = call->args[3],
        .address2 = call->args[4],
        .value3 = (uint32_t)call->args[5],
        .realtime = (operation & FUTEX_CLOCK_REALTIME) != 0,
    };
    int two_addresses = arguments.command == FUTEX_REQUEUE || arguments.command == FUTEX_CMP_REQUEUE ||
                        arguments.command == FUTEX_WAKE_OP;
    if (arguments.address % sizeof(uint32_t) || (two_addresses && arguments.address2 % sizeof(uint32_t)))
        return -EINVAL;
    if (outside_enclave(arguments.address, sizeof(uint32_t))) {
        if (two_addresses && !outside_enclave(arguments.address2, sizeof(uint32_t)))
            return -EINVAL; /* a queue of the host's and one of ours */
        return on_host(call, &arguments);
    }
    switch (arguments.command) {
    case FUTEX_WAIT:
        return wait(call->thread, &arguments, FUTEX_ANY_BIT);
    case FUTEX_WAIT_BITSET:
        return wait(call->thread, &arguments, arguments.value3);
    case FUTEX_WAKE:
        return futex_wake(call->compartment, arguments.address, arguments.value, FUTEX_ANY_BIT);
    case FUTEX_WAKE_BITSET:
        if (!arguments.value3)
            return -EINVAL;
        return futex_wake(call->compartment, arguments.address, arguments.value, arguments.value3);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        return requeue(call->compartment, &arguments);
    case FUTEX_WAKE_OP:
        return wake_op(call->compartment, &arguments);
    default:
        return -ENOSYS; /* priority inheritance */
    }
}
