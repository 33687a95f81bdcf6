/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's scatter and gather lists. A list stays in program memory and is read a few entries at a
 * time: another thread of the program may change it, which harms that program only.
 */
#ifndef TEEMATE_IOVEC_H
#define TEEMATE_IOVEC_H
#include <linux/uio.h>
#include <stdint.h>

#define IOVEC_BATCH 16
/* As MAX_RW_COUNT of the kernel: no read or write moves more */
#define TRANSFER_MAX 0x7ffff000UL

struct iovec_cursor {
    const struct iovec *list; /* program memory */
    uint64_t count, next; /* entries, first one that is not in the batch */
    uint64_t batch_count, batch_index;
    uint64_t done; /* bytes of the current entry that were moved */
    struct iovec batch[IOVEC_BATCH];
};

/* Total size (at most TRANSFER_MAX), -EINVAL or -EFAULT. The cursor stands at the start. */
long iovec_open(struct iovec_cursor *cursor, uint64_t list, uint64_t count);

/* The same for a single range. */
void iovec_open_single(struct iovec_cursor *cursor, uint64_t address, uint64_t size);

/* Move `size` bytes between host memory and the list, and the cursor with them. 0 or -EFAULT. */
long iovec_gather(struct iovec_cursor *cursor, char *to_host, uint64_t size);
long iovec_scatter(struct iovec_cursor *cursor, const char *from_host, uint64_t size);
#endif
