// SPDX-License-Identifier: Apache-2.0
/*
 * Reading directories. What else there is to do with directories is in the table. The entries come from the
 * host: each is checked to lie within what was read and to end its name, since programs walk them blindly.
 */
#include <asm/statfs.h>
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/magic.h>

#include "string.h"
#include "syscall.h"

/* struct linux_dirent64 and struct linux_dirent of the kernel, which has no public header for them */
struct directory_entry64 {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};
struct directory_entry32 {
    uint64_t inode;
    uint64_t offset;
    uint16_t size;
    char name[]; /* and the type in the last byte */
};
#define SIZE_FIELD_OFFSET 16
_Static_assert(offsetof(struct directory_entry64, size) == SIZE_FIELD_OFFSET, "directory entry");
_Static_assert(offsetof(struct directory_entry32, size) == SIZE_FIELD_OFFSET, "directory entry");
#define ENTRY_ALIGNMENT 8
/* An entry whose name has NAME_MAX bytes, either kind */
#define ENTRY_SIZE_MAX ((offsetof(struct directory_entry64, name) + NAME_MAX + 2 + ENTRY_ALIGNMENT) & ~7UL)

/* The number that a name spells, or UINT64_MAX. */
static uint64_t parse_number(const char *name, size_t size)
{
    uint64_t number = 0;

    if (!size || size > 9)
        return UINT64_MAX;
    for (size_t i = 0; i < size; i++) {
        if (name[i] < '0' || name[i] > '9')
            return UINT64_MAX;
        number = number * 10 + (name[i] - '0');
    }
    return number;
}

struct listing {
    const struct syscall *call;
    size_t name_offset;
    uint64_t to, written;
    int is_proc; /* -1: not looked at yet */
};

static int lists_proc(struct listing *listing)
{
    if (listing->is_proc < 0) {
        /* behind the entries */
        struct statfs *host_statfs = (struct statfs *)(host_buffer() + HOST_BUFFER_SIZE - PAGE_SIZE);
        long error = host_syscall(__NR_fstatfs, listing->call->args[0], (uint64_t)host_statfs, 0, 0, 0, 0);
        listing->is_proc = !error && *(volatile long *)&host_statfs->f_type == PROC_SUPER_MAGIC;
    }
    return listing->is_proc;
}

/* One entry from host memory, through the LibOS's stack, to the program. Size of the host's entry, or -errno. */
static long take_entry(struct listing *listing, const char *from, uint64_t available)
{
    char entry[ENTRY_SIZE_MAX];
    uint16_t size;

    if (available < SIZE_FIELD_OFFSET + sizeof(size))
        return -EIO;
    size = *(const volatile uint16_t *)(from + SIZE_FIELD_OFFSET);
    if (size <= listing->name_offset + 1 || size > sizeof(entry) || size > available || size % ENTRY_ALIGNMENT)
        return -EIO;
    memcpy(entry, from, size);
    memcpy(entry + SIZE_FIELD_OFFSET, &size, sizeof(size)); /* it may have changed meanwhile */
    const char *name = entry + listing->name_offset;
    size_t length = 0, most = size - listing->name_offset;
    while (length < most && name[length])
        length++;
    if (!length || length == most)
        return -EIO;
    for (size_t i = 0; i < length; i++)
        if (name[i] == '/')
            return -EIO;
    uint64_t number = parse_number(name, length);
    if (number != UINT64_MAX && fd_is_hidden(listing->call->compartment, number) && lists_proc(listing))
        return size; /* /proc/self/fd: not the program's */
    if (copy_to_program((void *)(listing->to + listing->written), entry, size))
        return -EFAULT;
    listing->written += size;
    return size;
}

static long read_directory(struct syscall *call, size_t name_offset)
{
    struct listing listing = {.call = call, .name_offset = name_offset, .to = call->args[1], .is_proc = -1};
    char *buffer = host_buffer();
    uint64_t capacity = (uint32_t)call->args[2];

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    if (capacity > HOST_BUFFER_SIZE - PAGE_SIZE)
        capacity = HOST_BUFFER_SIZE - PAGE_SIZE;
    for (;;) {
        long size = host_syscall(call->number, call->args[0], (uint64_t)buffer, capacity, 0, 0, 0);
        if (size <= 0)
            return size;
        if ((uint64_t)size > capacity)
            return -EIO;
        for (long done = 0; done < size;) {
            long step = take_entry(&listing, buffer + done, size - done);
            if (step < 0)
                return step;
            done += step;
        }
        if (listing.written) /* else all were hidden, which is not the end of the directory */
            return listing.written;
    }
}

long sys_getdents64(struct syscall *call)
{
    return read_directory(call, offsetof(struct directory_entry64, name));
}

long sys_getdents(struct syscall *call)
{
    return read_directory(call, offsetof(struct directory_entry32, name));
}
