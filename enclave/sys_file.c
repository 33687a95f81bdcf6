// SPDX-License-Identifier: Apache-2.0
/* Reading and writing. Data passes through the exchange buffer, HOST_BUFFER_SIZE at a time. */
#include <asm/stat.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/stat.h>

#include "iovec.h"
#include "restart.h"

/* preadv2 and pwritev2 take this for "at the file's own position", as do the functions below. */
#define CURRENT_POSITION (-1L)

struct transfer {
    struct syscall *call;
    int to_host;
    int64_t offset; /* or CURRENT_POSITION */
    uint32_t flags; /* RWF_* */
};

/* Both are whole pages, since a file opened with O_DIRECT takes nothing else. */
#define CHUNK_MAX HOST_BUFFER_SIZE
#define CHUNK_MAX_WITH_FLAGS (HOST_BUFFER_SIZE - PAGE_SIZE) /* room for the one iovec that such calls need */

static long move_chunk(const struct transfer *transfer, uint64_t size)
{
    uint64_t fd = transfer->call->args[0];
    uint64_t buffer = (uint64_t)host_buffer();
    long result;

    if (transfer->flags) {
        struct iovec *entry = (struct iovec *)(buffer + CHUNK_MAX_WITH_FLAGS);
        *(volatile struct iovec *)entry = (struct iovec){.iov_base = (void *)buffer, .iov_len = size};
        result = host_syscall_interruptible(transfer->to_host ? __NR_pwritev2 : __NR_preadv2, fd, (uint64_t)entry, 1,
                                            transfer->offset, 0, transfer->flags);
    } else if (transfer->offset == CURRENT_POSITION) {
        result = host_syscall_interruptible(transfer->to_host ? __NR_write : __NR_read, fd, buffer, size, 0, 0, 0);
    } else {
        result = host_syscall_interruptible(transfer->to_host ? __NR_pwrite64 : __NR_pread64, fd, buffer, size,
                                            transfer->offset, 0, 0);
    }
    return result > 0 && (uint64_t)result > size ? -EIO : result;
}

/*
 * After a full chunk, does the kernel go on? A write always does. A read does in a file and in a device (of which
 * terminals never fill a chunk); in a pipe or a socket it returns what there was, and another read could block.
 */
static int goes_on(const struct transfer *transfer)
{
    struct stat *host_stat = (struct stat *)host_buffer();

    if (transfer->to_host || transfer->offset != CURRENT_POSITION)
        return 1;
    if (host_syscall(__NR_fstat, transfer->call->args[0], (uint64_t)host_stat, 0, 0, 0, 0))
        return 0;
    uint32_t mode = *(volatile unsigned int *)&host_stat->st_mode;
    return S_ISREG(mode) || S_ISBLK(mode) || S_ISCHR(mode);
}

static long transfer_all(struct transfer *transfer, struct iovec_cursor *cursor, uint64_t size)
{
    uint64_t chunk_max = transfer->flags ? CHUNK_MAX_WITH_FLAGS : CHUNK_MAX;
    uint64_t done = 0;

    if (fd_is_hidden(transfer->call->compartment, transfer->call->args[0]))
        return -EBADF;
    do {
        uint64_t chunk = size - done < chunk_max ? size - done : chunk_max;
        if (transfer->to_host && iovec_gather(cursor, host_buffer(), chunk))
            return done ? (long)done : -EFAULT;
        long moved = move_chunk(transfer, chunk);
        if (moved < 0)
            return done ? (long)done : restartable(moved);
        if (!transfer->to_host && iovec_scatter(cursor, host_buffer(), moved))
            return done ? (long)done : -EFAULT;
        done += moved;
        if (transfer->offset != CURRENT_POSITION)
            transfer->offset += moved;
        if ((uint64_t)moved < chunk || done == size)
            return done;
    } while (goes_on(transfer));
    return done;
}

static long transfer_range(struct transfer *transfer)
{
    struct iovec_cursor cursor;
    uint64_t size = transfer->call->args[2];

    if ((int64_t)size < 0)
        return -EINVAL;
    if (size > TRANSFER_MAX)
        size = TRANSFER_MAX;
    iovec_open_single(&cursor, transfer->call->args[1], size);
    return transfer_all(transfer, &cursor, size);
}

static long transfer_list(struct transfer *transfer)
{
    struct iovec_cursor cursor;
    long size = iovec_open(&cursor, transfer->call->args[1], transfer->call->args[2]);

    if (size < 0)
        return size;
    return transfer_all(transfer, &cursor, size);
}

/*
 * The four calls that programs make most: one chunk, no cursor. Larger ones take the general way.
 */
long sys_read(struct syscall *call)
{
    uint64_t size = call->args[2];

    if (size > CHUNK_MAX)
        return transfer_range(&(struct transfer){.call = call, .offset = CURRENT_POSITION});
    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    char *buffer = host_buffer();
    long result = host_syscall_interruptible(__NR_read, call->args[0], (uint64_t)buffer, size, 0, 0, 0);
    if (result <= 0)
        return restartable(result);
    if ((uint64_t)result > size)
        return -EIO;
    return copy_to_program((void *)call->args[1], buffer, result) ? -EFAULT : result;
}

long sys_write(struct syscall *call)
{
    uint64_t size = call->args[2];

    if (size > CHUNK_MAX)
        return transfer_range(&(struct transfer){.call = call, .to_host = 1, .offset = CURRENT_POSITION});
    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    char *buffer = host_buffer();
    if (copy_from_program(buffer, (const void *)call->args[1], size))
        return -EFAULT;
    long result = host_syscall_interruptible(__NR_write, call->args[0], (uint64_t)buffer, size, 0, 0, 0);
    if (result <= 0)
        return restartable(result);
    return (uint64_t)result > size ? -EIO : result;
}

long sys_pread64(struct syscall *call)
{
    uint64_t size = call->args[2];

    if ((int64_t)call->args[3] < 0)
        return -EINVAL;
    if (size > CHUNK_MAX)
        return transfer_range(&(struct transfer){.call = call, .offset = call->args[3]});
    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    char *buffer = host_buffer();
    long result = host_syscall_interruptible(__NR_pread64, call->args[0], (uint64_t)buffer, size, call->args[3], 0, 0);
    if (result <= 0)
        return restartable(result);
    if ((uint64_t)result > size)
        return -EIO;
    return copy_to_program((void *)call->args[1], buffer, result) ? -EFAULT : result;
}

long sys_pwrite64(struct syscall *call)
{
    if ((int64_t)call->args[3] < 0)
        return -EINVAL;
    return transfer_range(&(struct transfer){.call = call, .to_host = 1, .offset = call->args[3]});
}

long sys_readv(struct syscall *call)
{
    return transfer_list(&(struct transfer){.call = call, .offset = CURRENT_POSITION});
}

long sys_writev(struct syscall *call)
{
    return transfer_list(&(struct transfer){.call = call, .to_host = 1, .offset = CURRENT_POSITION});
}

/* On x86-64 the offset is whole in args[3]; args[4] holds a high half that counts for nothing. */
long sys_preadv(struct syscall *call)
{
    if ((int64_t)call->args[3] < 0)
        return -EINVAL;
    return transfer_list(&(struct transfer){.call = call, .offset = call->args[3]});
}

long sys_pwritev(struct syscall *call)
{
    if ((int64_t)call->args[3] < 0)
        return -EINVAL;
    return transfer_list(&(struct transfer){.call = call, .to_host = 1, .offset = call->args[3]});
}

long sys_preadv2(struct syscall *call)
{
    if ((int64_t)call->args[3] < CURRENT_POSITION)
        return -EINVAL;
    return transfer_list(&(struct transfer){.call = call, .offset = call->args[3], .flags = call->args[5]});
}

long sys_pwritev2(struct syscall *call)
{
    if ((int64_t)call->args[3] < CURRENT_POSITION)
        return -EINVAL;
    return transfer_list(
        &(struct transfer){.call = call, .to_host = 1, .offset = call->args[3], .flags = call->args[5]});
}
