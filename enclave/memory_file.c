// SPDX-License-Identifier: Apache-2.0
/*
 * File mappings. A private one is a copy in the compartment, since the host's page cache cannot be mapped into
 * ELRANGE: a small one is read when it is made, a large one when it is touched (memory_load.c). A shared one is host
 * memory outside ELRANGE: whoever can write the file can change it.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/mman.h>

#include "compartment.h"
#include "host.h"
#include "memory_internal.h"
#include "memory_table.h"
#include "thread.h"
#include "usercopy.h"

/* Little, so that the same few pages serve again: of more, each costs the mate a page fault. */
#define READ_CHUNK_SIZE 0x4000
_Static_assert(READ_CHUNK_SIZE <= HOST_BUFFER_SIZE, "exchange buffer");
/* Private mappings above this size are loaded when touched. */
#define LOAD_MIN_SIZE 0x20000
/* Host addresses below this, or beyond the user half, cannot be a mapping. */
#define HOST_ADDRESS_MIN 0x10000
#define HOST_ADDRESS_MAX 0x7ffffffff000

static long read_chunk(int fd, uint64_t offset, uint64_t size)
{
    if (size > READ_CHUNK_SIZE)
        size = READ_CHUNK_SIZE;
    long result = host_syscall(__NR_pread64, (uint64_t)fd, (uint64_t)host_buffer(), size, offset, 0, 0);
    return result > (long)size ? -EIO : result;
}

long memory_read_file(int fd, uint64_t offset, uint64_t address, uint64_t size)
{
    uint64_t done = 0;
    while (done < size) {
        long count = read_chunk(fd, offset + done, size - done);
        if (count < 0)
            return count;
        if (!count)
            break;
        if (copy_to_program((void *)(address + done), host_buffer(), (size_t)count))
            return -EFAULT;
        done += (uint64_t)count;
    }
    return (long)done;
}

/* Why a private mapping of this descriptor is not possible, in mmap's words. */
static long mapping_error(int fd, long read_error)
{
    switch (read_error) {
    case -EISDIR:
    case -ESPIPE:
    case -EINVAL:
    case -ENXIO:
        return -ENODEV;
    case -EBADF:
        return host_syscall(__NR_fcntl, (uint64_t)fd, F_GETFL, 0, 0, 0, 0) < 0 ? -EBADF : -EACCES;
    default:
        return read_error;
    }
}

/* Worth a host mapping and a fault for each part that is touched. */
static int load_when_touched(const struct memory_request *request)
{
    /* A dynamic linker maps a library whole, then each further segment over it: hardly anything of it is used. */
    uint64_t threshold = request->map_flags & MAP_FIXED ? LOAD_MIN_SIZE : LOAD_MIN_SIZE / 4;
    return request->size > threshold && !(request->map_flags & (MAP_POPULATE | MAP_LOCKED));
}

static long map_and_read(struct compartment *compartment, const struct memory_request *request, int fd, uint64_t offset)
{
    /* Before anything changes: a descriptor that cannot be read must leave the old mapping alone. */
    long count = read_chunk(fd, offset, request->size);
    if (count < 0)
        return mapping_error(fd, count);

    struct memory_request writable = *request;
    writable.filled = 1;
    writable.commit_size = request->size;
    long address = memory_map(compartment, &writable);
    if (address < 0)
        return address;

    long result = copy_to_program((void *)address, host_buffer(), (size_t)count);
    if (!result && count == READ_CHUNK_SIZE && request->size > READ_CHUNK_SIZE) {
        long more = memory_read_file(fd, offset + READ_CHUNK_SIZE, (uint64_t)address + READ_CHUNK_SIZE,
                                     request->size - READ_CHUNK_SIZE);
        result = more < 0 ? more : 0;
    }
    if (!result && request->prot != (PROT_READ | PROT_WRITE))
        result = memory_protect(compartment, (uint64_t)address, request->size, request->prot);
    if (result) {
        memory_unmap(compartment, (uint64_t)address, request->size);
        return result;
    }
    return address;
}

static long map_to_load(struct compartment *compartment, const struct memory_request *request, int fd, uint64_t offset)
{
    struct memory_request backed = *request;
    long backing = memory_map_backing(fd, offset, request->size);
    if (backing < 0)
        return backing;
    backed.backing = (uint64_t)backing;
    long address = memory_map(compartment, &backed);
    if (address < 0) {
        host_syscall(__NR_munmap, (uint64_t)backing, request->size, 0, 0, 0, 0);
        return address;
    }
    /* The first mapping of all finds out whether the host can do it; other threads cannot know the address yet. */
    struct memory *memory = &compartment->memory;
    if (memory->fill_tried || memory_try_load(compartment, (uint64_t)address) != -EOPNOTSUPP) {
        memory->fill_tried = 1;
        return address;
    }
    memory->fill_refused = 1;
    backed.backing = 0;
    backed.address = (uint64_t)address;
    backed.map_flags |= MAP_FIXED;
    return map_and_read(compartment, &backed, fd, offset);
}

/* What is loaded later comes from the host memory of this process: a vfork child's ends with it, the mapping does not.
 */
static int can_load_later(const struct compartment *compartment)
{
    return !compartment->memory.fill_refused && !thread_self()->is_vfork_child;
}

long memory_map_file(struct compartment *compartment, const struct memory_request *request, int fd, uint64_t offset)
{
    return load_when_touched(request) && can_load_later(compartment) ? map_to_load(compartment, request, fd, offset)
                                                                     : map_and_read(compartment, request, fd, offset);
}

int memory_plausible_host_mapping(uint64_t address, uint64_t size)
{
    return address % PAGE_SIZE == 0 && address >= HOST_ADDRESS_MIN && address <= HOST_ADDRESS_MAX &&
           size <= HOST_ADDRESS_MAX - address && outside_enclave(address, size) &&
           (address + size <= MATE_TEXT || address >= ENCLAVE_BASE);
}

long memory_map_shared(struct compartment *compartment, uint64_t size, uint32_t prot, uint32_t map_flags, int fd,
                       uint64_t offset)
{
    struct memory *memory = &compartment->memory;
    long result = host_syscall(__NR_mmap, 0, size, prot, MAP_SHARED | (map_flags & (MAP_POPULATE | MAP_NORESERVE)),
                               (uint64_t)fd, offset);
    if (result < 0)
        return result;
    uint64_t address = (uint64_t)result;
    if (!memory_plausible_host_mapping(address, size))
        return -EIO;

    spin_lock(&memory->lock);
    const struct vma vma = {
        .start = address,
        .end = address + size,
        .prot = prot,
        .kind = VMA_SHARED,
        .flags = (map_flags & MAP_TYPE) | (thread_self()->is_vfork_child ? VMA_OF_CHILD : 0),
    };
    /* An answer that overlaps what the program has already is a lie: the host cannot have forgotten it. */
    result = vma_overlaps(&memory->vmas, address, address + size) ? -EIO : memory_table_set(compartment, &vma);
    spin_unlock(&memory->lock);
    if (result == -ENOMEM)
        host_syscall(__NR_munmap, address, size, 0, 0, 0, 0);
    return result ? result : (long)address;
}
