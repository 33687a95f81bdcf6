// SPDX-License-Identifier: Apache-2.0
/*
 * Table-driven marshalling of host system calls. The host sees copies in the exchange buffer only, and
 * what it answers is bounded twice: by what the program asked for and by what was handed to the host.
 */
#include "passthrough.h"

#include <limits.h>
#include <linux/errno.h>

#include "proc_view.h"

/* Every copy starts aligned, as the kernel's own structs want it. */
#define COPY_ALIGNMENT 16UL

struct marshal {
    struct syscall *call;
    const struct signature *signature;
    char *buffer; /* untrusted */
    uint64_t used;
    uint64_t host_args[ARGUMENTS_MAX];
    uint64_t capacity[ARGUMENTS_MAX]; /* OUT arguments: bytes that may be copied back */
};

static uint64_t space_left(const struct marshal *marshal)
{
    return HOST_BUFFER_SIZE - marshal->used;
}

/* Give the argument `size` bytes of the exchange buffer. The caller has checked that they are there. */
static char *reserve(struct marshal *marshal, int index, uint64_t size)
{
    char *place = marshal->buffer + marshal->used;
    uint64_t end = (marshal->used + size + COPY_ALIGNMENT - 1) & ~(COPY_ALIGNMENT - 1);

    marshal->used = end < HOST_BUFFER_SIZE ? end : HOST_BUFFER_SIZE;
    marshal->host_args[index] = (uint64_t)place;
    return place;
}

static long put_bytes(struct marshal *marshal, int index, uint64_t size)
{
    if (size > space_left(marshal))
        return -E2BIG;
    return copy_from_program(reserve(marshal, index, size), (const void *)marshal->call->args[index], size);
}

static int follows_links(const struct marshal *marshal, const struct argument *argument)
{
    return argument->kind == ARGUMENT_PATH && !(marshal->call->args[argument->count_index] & argument->size);
}

static long put_string(struct marshal *marshal, int index, int follow)
{
    char *place = marshal->buffer + marshal->used;
    uint64_t size = space_left(marshal) < PATH_SIZE ? space_left(marshal) : PATH_SIZE;
    const char *path = (const char *)marshal->call->args[index];
    long length = follow ? proc_view_put_path(marshal->call->compartment, place, path, size)
                         : copy_string_from_program(place, path, size);

    if (length < 0)
        return length;
    reserve(marshal, index, length + 1);
    return 0;
}

/* A count of items that fits; the host is told the smaller one, as a kernel with less to give would answer. */
static void put_out_items(struct marshal *marshal, int index, const struct argument *argument)
{
    uint64_t count = marshal->call->args[argument->count_index];
    uint64_t most = space_left(marshal) / argument->size;

    if (count > most)
        count = most;
    marshal->host_args[argument->count_index] = count;
    marshal->capacity[index] = count * argument->size;
    reserve(marshal, index, marshal->capacity[index]);
}

static long put_out_counted(struct marshal *marshal, int index, const struct argument *argument)
{
    uint64_t length_pointer = marshal->call->args[argument->count_index];
    uint32_t capacity;

    if (!length_pointer)
        return -EFAULT;
    if (copy_from_program(&capacity, (const void *)length_pointer, sizeof(capacity)))
        return -EFAULT;
    if (capacity > INT_MAX)
        return -EINVAL;
    if (space_left(marshal) < 2 * COPY_ALIGNMENT)
        return -E2BIG;
    uint64_t most = space_left(marshal) - COPY_ALIGNMENT; /* the length itself follows */
    if (capacity > most)
        capacity = most;
    marshal->capacity[index] = capacity;
    reserve(marshal, index, capacity);
    uint32_t *length = (uint32_t *)reserve(marshal, argument->count_index, sizeof(*length));
    *(volatile uint32_t *)length = capacity;
    return 0;
}

static long put_argument(struct marshal *marshal, int index)
{
    const struct argument *argument = &marshal->signature->arguments[index];
    uint64_t value = marshal->call->args[index];

    switch (argument->kind) {
    case ARGUMENT_VALUE:
        return 0;
    case ARGUMENT_NOTHING:
        marshal->host_args[index] = 0;
        return 0;
    case ARGUMENT_DESCRIPTOR:
        return fd_is_hidden(marshal->call->compartment, value) ? -EBADF : 0;
    default:
        break;
    }
    if (!value)
        return 0;
    switch (argument->kind) {
    case ARGUMENT_STRING:
    case ARGUMENT_PATH:
        return put_string(marshal, index, follows_links(marshal, argument));
    case ARGUMENT_IN:
        return put_bytes(marshal, index, argument->size);
    case ARGUMENT_OUT:
        if (argument->size > space_left(marshal))
            return -E2BIG;
        marshal->capacity[index] = argument->size;
        reserve(marshal, index, argument->size);
        return 0;
    case ARGUMENT_INOUT:
        marshal->capacity[index] = argument->size;
        return put_bytes(marshal, index, argument->size);
    case ARGUMENT_IN_ITEMS: {
        uint64_t size;
        if (__builtin_mul_overflow(marshal->call->args[argument->count_index], argument->size, &size))
            return -E2BIG;
        return put_bytes(marshal, index, size);
    }
    case ARGUMENT_OUT_ITEMS:
        put_out_items(marshal, index, argument);
        return 0;
    case ARGUMENT_OUT_COUNTED:
        return put_out_counted(marshal, index, argument);
    default: /* ARGUMENT_IN_OUT_LENGTH: done with its ARGUMENT_OUT_COUNTED */
        return 0;
    }
}

static long take_counted(struct marshal *marshal, int index, const struct argument *argument)
{
    uint32_t length = *(volatile uint32_t *)marshal->host_args[argument->count_index]; /* once */
    uint64_t capacity = marshal->capacity[index];
    uint64_t most = capacity > argument->size ? capacity : argument->size;

    if (length > most)
        return -EIO;
    if (copy_to_program((void *)marshal->call->args[index], (const void *)marshal->host_args[index],
                        length < capacity ? length : capacity))
        return -EFAULT;
    return copy_to_program((void *)marshal->call->args[argument->count_index], &length, sizeof(length));
}

static long take_argument(struct marshal *marshal, int index, long result)
{
    const struct argument *argument = &marshal->signature->arguments[index];
    void *to = (void *)marshal->call->args[index];
    const void *from = (const void *)marshal->host_args[index];
    uint64_t size = marshal->capacity[index];

    if (!to)
        return 0;
    switch (argument->kind) {
    case ARGUMENT_OUT:
    case ARGUMENT_INOUT:
        return copy_to_program(to, from, size);
    case ARGUMENT_OUT_ITEMS:
        if (marshal->signature->result == RETURNS_COUNT) {
            if (!size) /* the program asked how many there are */
                return 0;
            if ((uint64_t)result > size / argument->size)
                return -EIO;
            size = (uint64_t)result * argument->size;
        }
        return copy_to_program(to, from, size);
    case ARGUMENT_OUT_COUNTED:
        return take_counted(marshal, index, argument);
    default:
        return 0;
    }
}

static long check_result(const struct marshal *marshal, long result)
{
    switch (marshal->signature->result) {
    case RETURNS_ZERO:
        return result ? -EIO : 0;
    case RETURNS_DESCRIPTOR:
        return result > INT_MAX || fd_is_hidden(marshal->call->compartment, result) ? -EIO : result;
    case RETURNS_BOUNDED:
        return (uint64_t)result > marshal->call->args[marshal->signature->bound_index] ? -EIO : result;
    case RETURNS_COUNT:
        return result > INT_MAX ? -EIO : result;
    default:
        return result;
    }
}

static long host_call(const struct marshal *marshal)
{
    const uint64_t *args = marshal->host_args;
    uint32_t number = marshal->call->number;

    if (marshal->signature->blocking == NEVER_BLOCKS)
        return host_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    long result = host_syscall_interruptible(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (result == -EINTR && marshal->signature->blocking == RESTARTS)
        return -ERESTARTSYS;
    if (result == -EINTR && marshal->signature->blocking == RESTARTS_UNCAUGHT)
        return -ERESTARTNOHAND;
    return result;
}

long passthrough(struct syscall *call, const struct signature *signature)
{
    struct marshal marshal = {.call = call, .signature = signature, .buffer = host_buffer()};
    long error;

    for (int i = 0; i < ARGUMENTS_MAX; i++)
        marshal.host_args[i] = call->args[i];
    for (int i = 0; i < ARGUMENTS_MAX; i++) {
        error = put_argument(&marshal, i);
        if (error)
            return error;
    }
    long result = host_call(&marshal);
    if (result < 0)
        return result;
    result = check_result(&marshal, result);
    if (result < 0)
        return result;
    for (int i = 0; i < ARGUMENTS_MAX; i++) {
        error = take_argument(&marshal, i, result);
        if (error)
            return error;
    }
    return result;
}
