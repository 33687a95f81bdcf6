// SPDX-License-Identifier: Apache-2.0
#include "iovec.h"

#include <linux/errno.h>

#include "usercopy.h"

static long next_batch(struct iovec_cursor *cursor)
{
    uint64_t count = cursor->count - cursor->next;

    if (!count)
        return -EFAULT; /* the list shrank under our hands */
    if (count > IOVEC_BATCH)
        count = IOVEC_BATCH;
    if (copy_from_program(cursor->batch, cursor->list + cursor->next, count * sizeof(struct iovec)))
        return -EFAULT;
    cursor->next += count;
    cursor->batch_count = count;
    cursor->batch_index = 0;
    return 0;
}

void iovec_open_single(struct iovec_cursor *cursor, uint64_t address, uint64_t size)
{
    cursor->list = 0;
    cursor->count = cursor->next = 1;
    cursor->batch_count = 1;
    cursor->batch_index = 0;
    cursor->done = 0;
    cursor->batch[0].iov_base = (void *)address;
    cursor->batch[0].iov_len = size;
}

static void rewind_list(struct iovec_cursor *cursor)
{
    cursor->next = 0;
    cursor->batch_count = cursor->batch_index = 0;
    cursor->done = 0;
}

long iovec_open(struct iovec_cursor *cursor, uint64_t list, uint64_t count)
{
    uint64_t total = 0;

    if (count > UIO_MAXIOV)
        return -EINVAL;
    cursor->list = (const struct iovec *)list;
    cursor->count = count;
    rewind_list(cursor);
    while (cursor->next < cursor->count) {
        long error = next_batch(cursor);
        if (error)
            return error;
        for (uint64_t i = 0; i < cursor->batch_count; i++) {
            uint64_t size = cursor->batch[i].iov_len;
            if ((int64_t)size < 0 || __builtin_add_overflow(total, size, &total) || (int64_t)total < 0)
                return -EINVAL;
        }
    }
    /* A list of one batch, the common case, need not be read again. */
    if (cursor->count > IOVEC_BATCH)
        rewind_list(cursor);
    return total < TRANSFER_MAX ? total : TRANSFER_MAX;
}

static long move(struct iovec_cursor *cursor, char *host, uint64_t size, int to_host)
{
    while (size) {
        if (cursor->batch_index == cursor->batch_count) {
            long error = next_batch(cursor);
            if (error)
                return error;
        }
        const struct iovec *entry = &cursor->batch[cursor->batch_index];
        uint64_t part = entry->iov_len - cursor->done;
        if (part > size)
            part = size;
        char *program = (char *)entry->iov_base + cursor->done;
        if (to_host ? copy_from_program(host, program, part) : copy_to_program(program, host, part))
            return -EFAULT;
        host += part;
        size -= part;
        cursor->done += part;
        if (cursor->done == entry->iov_len) {
            cursor->batch_index++;
            cursor->done = 0;
        }
    }
    return 0;
}

long iovec_gather(struct iovec_cursor *cursor, char *to_host, uint64_t size)
{
    return move(cursor, to_host, size, 1);
}

long iovec_scatter(struct iovec_cursor *cursor, const char *from_host, uint64_t size)
{
    return move(cursor, (char *)from_host, size, 0);
}
