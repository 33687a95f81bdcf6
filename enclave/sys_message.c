// SPDX-License-Identifier: Apache-2.0
/* sendmsg, recvmsg, and many messages at a time. */
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/uio.h>

#include "sys_socket.h"

#define NSEC_PER_SEC 1000000000L

static long send_message(struct socket_call *socket, uint64_t pointer)
{
    struct program_message message;
    struct iovec_cursor cursor;

    if (copy_from_program(&message, (const void *)pointer, sizeof(message)))
        return -EFAULT;
    if (message.range_count > UIO_MAXIOV)
        return -EMSGSIZE;
    if (!message.control)
        message.control_size = 0;
    long size = iovec_open(&cursor, message.ranges, message.range_count);
    return size < 0 ? size : socket_send(socket, &message, &cursor, size);
}

static long receive_message(struct socket_call *socket, uint64_t pointer)
{
    struct program_message message;
    struct iovec_cursor cursor;

    if (copy_from_program(&message, (const void *)pointer, sizeof(message)))
        return -EFAULT;
    if (message.range_count > UIO_MAXIOV)
        return -EMSGSIZE;
    long size = iovec_open(&cursor, message.ranges, message.range_count);
    if (size < 0)
        return size;
    long result = socket_receive(socket, &message, &cursor, size);
    if (result >= 0 && copy_to_program((void *)pointer, &message, sizeof(message)))
        return -EFAULT;
    return result;
}

long sys_sendmsg(struct syscall *call)
{
    struct socket_call socket = {call->compartment, call->args[0], call->args[2]};

    return fd_is_hidden(call->compartment, call->args[0]) ? -EBADF : send_message(&socket, call->args[1]);
}

long sys_recvmsg(struct syscall *call)
{
    struct socket_call socket = {call->compartment, call->args[0], call->args[2]};

    return fd_is_hidden(call->compartment, call->args[0]) ? -EBADF : receive_message(&socket, call->args[1]);
}

/* One element of an array of struct mmsghdr: the message, then its size to the element. */
static long move_element(struct socket_call *socket, uint64_t element,
                         long (*move)(struct socket_call *socket, uint64_t pointer))
{
    long result = move(socket, element);

    if (result < 0)
        return result;
    uint32_t size = result;
    return copy_to_program((void *)(element + offsetof(struct program_messages, size)), &size, sizeof(size));
}

long sys_sendmmsg(struct syscall *call)
{
    struct socket_call socket = {call->compartment, call->args[0], call->args[3]};
    uint32_t count = (uint32_t)call->args[2] < UIO_MAXIOV ? call->args[2] : UIO_MAXIOV;

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    for (uint32_t done = 0; done < count; done++) {
        uint64_t element = call->args[1] + done * sizeof(struct program_messages);
        long error = move_element(&socket, element, send_message);
        if (error)
            return done ? (long)done : error;
    }
    return count;
}

/* The moment a time-out from now ends. */
static long find_deadline(uint64_t pointer, struct __kernel_timespec *deadline)
{
    struct __kernel_timespec timeout;
    int64_t sec, nsec;

    if (copy_from_program(&timeout, (const void *)pointer, sizeof(timeout)))
        return -EFAULT;
    if (timeout.tv_sec < 0 || timeout.tv_nsec < 0 || timeout.tv_nsec >= NSEC_PER_SEC)
        return -EINVAL;
    long error = host_clock(CLOCK_MONOTONIC, &sec, &nsec);
    if (error)
        return error;
    if (__builtin_add_overflow(sec, timeout.tv_sec, &deadline->tv_sec))
        return -EINVAL;
    deadline->tv_nsec = nsec + timeout.tv_nsec;
    if (deadline->tv_nsec >= NSEC_PER_SEC) {
        deadline->tv_sec++;
        deadline->tv_nsec -= NSEC_PER_SEC;
    }
    return 0;
}

static int is_past(const struct __kernel_timespec *deadline)
{
    int64_t sec, nsec;

    if (host_clock(CLOCK_MONOTONIC, &sec, &nsec))
        return 1;
    return sec > deadline->tv_sec || (sec == deadline->tv_sec && nsec >= deadline->tv_nsec);
}

long sys_recvmmsg(struct syscall *call)
{
    struct socket_call socket = {call->compartment, call->args[0], call->args[3]};
    uint32_t count = (uint32_t)call->args[2] < UIO_MAXIOV ? call->args[2] : UIO_MAXIOV;
    struct __kernel_timespec deadline = {0};

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    if (call->args[4]) {
        long error = find_deadline(call->args[4], &deadline);
        if (error)
            return error;
    }
    socket.flags &= ~MESSAGE_WAIT_FOR_ONE;
    for (uint32_t done = 0; done < count;) {
        uint64_t element = call->args[1] + done * sizeof(struct program_messages);
        long error = move_element(&socket, element, receive_message);
        if (error)
            return done ? (long)done : error;
        done++;
        if (call->args[3] & MESSAGE_WAIT_FOR_ONE)
            socket.flags |= MESSAGE_DONT_WAIT;
        if (call->args[4] && is_past(&deadline))
            return done;
    }
    return count;
}
