// SPDX-License-Identifier: Apache-2.0
/*
 * Sending and receiving. A message is laid out anew in the exchange buffer with one data range; the host's
 * lengths are bounded by what was asked for, and control messages are walked before the program sees them.
 */
#include "sys_socket.h"

#include <asm/socket.h>
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/time_types.h>

#include "iovec.h"
#include "passthrough.h"

/* What of the exchange buffer a message uses: head, then control data, then the data itself */
struct host_message {
    struct program_message message;
    struct iovec range;
    char address[ADDRESS_SIZE_MAX];
};
#define CONTROL_SIZE_MAX 0x8000UL
#define DATA_OFFSET (PAGE_SIZE + CONTROL_SIZE_MAX)
#define DATA_SIZE_MAX (HOST_BUFFER_SIZE - DATA_OFFSET)
_Static_assert(sizeof(struct host_message) <= PAGE_SIZE, "message head");

static struct host_message *host_message(void)
{
    return (struct host_message *)host_buffer();
}
static char *host_control(void)
{
    return host_buffer() + PAGE_SIZE;
}
static char *host_data(void)
{
    return host_buffer() + DATA_OFFSET;
}

static void put_head(const struct program_message *message, uint64_t control_size, uint64_t data_size)
{
    struct host_message *host = host_message();
    struct program_message head = {
        .address = message->address ? (uint64_t)host->address : 0,
        .address_size = message->address ? message->address_size : 0,
        .ranges = (uint64_t)&host->range,
        .range_count = 1,
        .control = control_size ? (uint64_t)host_control() : 0,
        .control_size = control_size,
    };

    *(volatile struct program_message *)&host->message = head;
    *(volatile struct iovec *)&host->range = (struct iovec){.iov_base = host_data(), .iov_len = data_size};
}

/*
 * An interrupted call restarts, unless the program set a time-out, since the time that is left is not known. The
 * exchange buffer holds nothing of use any more then.
 */
static long interrupted(const struct socket_call *socket, int timeout_option)
{
    struct __kernel_old_timeval *timeout = (struct __kernel_old_timeval *)host_control();
    uint32_t *size = (uint32_t *)(timeout + 1);

    *(volatile uint32_t *)size = sizeof(*timeout);
    long error = host_syscall(__NR_getsockopt, socket->descriptor, SOL_SOCKET, timeout_option, (uint64_t)timeout,
                              (uint64_t)size, 0);
    const volatile struct __kernel_old_timeval *answer = timeout;
    return !error && (answer->tv_sec || answer->tv_usec) ? -EINTR : -ERESTARTSYS;
}

static long send_chunk(struct socket_call *socket, const struct program_message *message, uint64_t size)
{
    struct host_message *host = host_message();

    if (message->control_size > CONTROL_SIZE_MAX)
        return -ENOBUFS;
    if (message->address && copy_from_program(host->address, (const void *)message->address, message->address_size))
        return -EFAULT;
    if (message->control_size &&
        copy_from_program(host_control(), (const void *)message->control, message->control_size))
        return -EFAULT;
    put_head(message, message->control_size, size);
    long result = host_syscall_interruptible(__NR_sendmsg, socket->descriptor, (uint64_t)host, socket->flags, 0, 0, 0);
    if (result == -EINTR)
        return interrupted(socket, SO_SNDTIMEO_OLD);
    return result > 0 && (uint64_t)result > size ? -EIO : result;
}

/* Address sizes above what any family has are an error for every family. */
static int address_size_is_sane(const struct program_message *message)
{
    return !message->address || message->address_size <= ADDRESS_SIZE_MAX;
}

long socket_send(struct socket_call *socket, struct program_message *message, struct iovec_cursor *cursor, long size)
{
    long done = 0;

    if (!address_size_is_sane(message))
        return -EINVAL;
    do { /* a datagram this large does not exist, so what needs a second round is a stream */
        uint64_t chunk = (uint64_t)(size - done) < DATA_SIZE_MAX ? (uint64_t)(size - done) : DATA_SIZE_MAX;
        if (iovec_gather(cursor, host_data(), chunk))
            return done ? done : -EFAULT;
        long sent = send_chunk(socket, message, chunk);
        if (sent < 0)
            return done ? done : sent;
        done += sent;
        message->control_size = 0; /* goes with the first byte */
        if ((uint64_t)sent < chunk)
            break;
    } while (done < size);
    return done;
}

/*
 * Control messages lie in program memory by now, where the host cannot change them. A chain that leads
 * astray, or a descriptor that cannot be, is the host's lie.
 */
static long check_control(const struct socket_call *socket, uint64_t control, uint64_t size)
{
    for (uint64_t offset = 0; size - offset >= sizeof(struct control_head);) {
        struct control_head head;
        if (copy_from_program(&head, (const void *)(control + offset), sizeof(head)))
            return -EFAULT;
        if (head.size < sizeof(head) || head.size > size - offset)
            return -EIO;
        if (head.level == SOL_SOCKET && head.type == CONTROL_RIGHTS) {
            for (uint64_t at = sizeof(head); at + sizeof(int) <= head.size; at += sizeof(int)) {
                int descriptor;
                if (copy_from_program(&descriptor, (const void *)(control + offset + at), sizeof(descriptor)))
                    return -EFAULT;
                if (descriptor < 0 || fd_is_hidden(socket->compartment, descriptor))
                    return -EIO;
            }
        }
        uint64_t step = (head.size + CONTROL_ALIGNMENT - 1) & ~(CONTROL_ALIGNMENT - 1);
        if (step > size - offset)
            break;
        offset += step;
    }
    return 0;
}

/* Address, control data and flags of the message in the exchange buffer, to the program. */
static long take_message(const struct socket_call *socket, struct program_message *message, uint64_t control_capacity)
{
    struct host_message *host = host_message();
    const volatile struct program_message *answer = &host->message;
    uint32_t address_size = answer->address_size;
    uint64_t control_size = answer->control_size;

    if (message->address) {
        uint32_t capacity = message->address_size;
        if (address_size > ADDRESS_SIZE_MAX)
            return -EIO;
        if (copy_to_program((void *)message->address, host->address, address_size < capacity ? address_size : capacity))
            return -EFAULT;
        message->address_size = address_size;
    }
    if (control_size > control_capacity)
        return -EIO;
    if (control_size) {
        if (copy_to_program((void *)message->control, host_control(), control_size))
            return -EFAULT;
        long error = check_control(socket, message->control, control_size);
        if (error)
            return error;
    }
    message->control_size = control_size;
    message->flags = answer->flags;
    return 0;
}

long socket_receive(struct socket_call *socket, struct program_message *message, struct iovec_cursor *cursor, long size)
{
    uint64_t control_capacity = message->control ? message->control_size : 0;
    long done = 0;

    if (message->address && (int32_t)message->address_size < 0)
        return -EINVAL;
    if (control_capacity > CONTROL_SIZE_MAX)
        control_capacity = CONTROL_SIZE_MAX;
    struct program_message ask = *message;
    if (ask.address_size > ADDRESS_SIZE_MAX)
        ask.address_size = ADDRESS_SIZE_MAX;
    do {
        uint64_t chunk = (uint64_t)(size - done) < DATA_SIZE_MAX ? (uint64_t)(size - done) : DATA_SIZE_MAX;
        put_head(&ask, control_capacity, chunk);
        long got = host_syscall_interruptible(__NR_recvmsg, socket->descriptor, (uint64_t)host_message(), socket->flags,
                                              0, 0, 0);
        if (got < 0 && done)
            return done;
        if (got == -EINTR)
            return interrupted(socket, SO_RCVTIMEO_OLD);
        if (got < 0)
            return got;
        /* With MSG_TRUNC the answer is how long the datagram was */
        uint64_t filled = got;
        if (filled > chunk) {
            if (!(socket->flags & MESSAGE_TRUNCATED) || got > INT_MAX)
                return -EIO;
            filled = chunk;
        }
        if (iovec_scatter(cursor, host_data(), filled))
            return done ? done : -EFAULT;
        if (!done) {
            long error = take_message(socket, message, control_capacity);
            if (error)
                return error;
        }
        done += got;
        if (filled < chunk)
            break;
        control_capacity = 0;
        ask.address = 0;
    } while (done < size && socket->flags & MESSAGE_WAIT_ALL && !(socket->flags & MESSAGE_PEEK));
    return done;
}

long sys_sendto(struct syscall *call)
{
    struct socket_call socket = {call->compartment, call->args[0], call->args[3]};
    struct program_message message = {.address = call->args[4], .address_size = call->args[5]};
    struct iovec_cursor cursor;
    uint64_t size = call->args[2] < TRANSFER_MAX ? call->args[2] : TRANSFER_MAX;

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    iovec_open_single(&cursor, call->args[1], size);
    return socket_send(&socket, &message, &cursor, size);
}

long sys_recvfrom(struct syscall *call)
{
    struct socket_call socket = {call->compartment, call->args[0], call->args[3]};
    struct program_message message = {.address = call->args[4]};
    struct iovec_cursor cursor;
    uint64_t size = call->args[2] < TRANSFER_MAX ? call->args[2] : TRANSFER_MAX;

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    if (message.address &&
        copy_from_program(&message.address_size, (const void *)call->args[5], sizeof(message.address_size)))
        return -EFAULT;
    iovec_open_single(&cursor, call->args[1], size);
    long result = socket_receive(&socket, &message, &cursor, size);
    if (result >= 0 && message.address &&
        copy_to_program((void *)call->args[5], &message.address_size, sizeof(message.address_size)))
        return -EFAULT;
    return result;
}

/*
 * Options that would have the host's kernel use memory after the call: their value points to a filter program, or
 * data is sent from where it lies. Their numbers are those of asm-generic/socket.h.
 */
static int needs_program_memory(uint64_t level, uint64_t option)
{
    if ((int)level != SOL_SOCKET)
        return 0;
    return (int)option == SO_ATTACH_FILTER || (int)option == SO_ATTACH_REUSEPORT_CBPF || (int)option == SO_ZEROCOPY;
}

long sys_setsockopt(struct syscall *call)
{
    static const struct signature signature = {
        .arguments = {{.kind = ARGUMENT_DESCRIPTOR},
                      {.kind = ARGUMENT_VALUE},
                      {.kind = ARGUMENT_VALUE},
                      {.kind = ARGUMENT_IN_ITEMS, .count_index = 4, .size = sizeof(char)},
                      {.kind = ARGUMENT_VALUE}},
    };

    if (needs_program_memory(call->args[1], call->args[2]))
        return -ENOPROTOOPT;
    if ((int)call->args[4] < 0)
        return -EINVAL;
    call->args[4] = (uint32_t)call->args[4];
    return passthrough(call, &signature);
}
