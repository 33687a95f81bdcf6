// SPDX-License-Identifier: Apache-2.0
/*
 * File mappings. A private one is a copy in the compartment, read when it is made: the host's page cache cannot be
 * mapped into ELRANGE. A shared one is host memory outside ELRANGE: whoever can write the file can change it.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/unistd.h>
#include <linux/mman.h>

#include "compartment.h"
#include "elf_check.h"
#include "host.h"
#include "memory_internal.h"
#include "string.h"
#include "usercopy.h"

/* Stays in the cache between the host's copy and ours. */
#define READ_CHUNK_SIZE 0x10000
_Static_assert(READ_CHUNK_SIZE <= HOST_BUFFER_SIZE, "exchange buffer");
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

/*
 * A dynamic linker first maps the whole span of a library, then each further segment over it. Only the first
 * segment's bytes will ever be seen, so only they are read: that saves reading the library twice. Such a mapping
 * is known by its size, which is the span that the ELF header asks for, and not the size of the file.
 */
static long bytes_to_read(int fd, const struct memory_request *request, uint64_t offset)
{
    if (offset || request->map_flags & MAP_FIXED || request->prot & PROT_WRITE || request->size <= READ_CHUNK_SIZE)
        return (long)request->size;
    struct elf_file elf;
    long count = read_chunk(fd, 0, ELF_HEAD_SIZE);
    if (count < 0)
        return count;
    if (elf_check(&elf, host_buffer(), (uint64_t)count, UINT64_MAX) || elf.high - elf.low != request->size)
        return (long)request->size;
    const struct elf_segment *first = &elf.segments[0];
    uint64_t first_size = PAGE_ALIGN_UP(first->address + first->file_size) - elf.low;
    struct stat stat;
    long result = host_syscall(__NR_fstat, (uint64_t)fd, (uint64_t)host_buffer(), 0, 0, 0, 0);
    if (result)
        return result;
    memcpy(&stat, host_buffer(), sizeof stat);
    int whole_file = PAGE_ALIGN_UP((uint64_t)stat.st_size) == request->size;
    return (long)(whole_file || !first_size || first_size > request->size ? request->size : first_size);
}

/* Map the request with its first `size` bytes writable. */
static long map_for_reading(struct compartment *compartment, const struct memory_request *request, uint64_t size)
{
    struct memory_request writable = *request;
    writable.filled = 1;
    writable.commit_size = size;
    if (size == request->size)
        return memory_map(compartment, &writable);

    /* Memory that was never writable needs no zeroing when the linker maps the next segments over it. */
    long address = memory_map(compartment, request);
    if (address < 0)
        return address;
    writable.address = (uint64_t)address;
    writable.size = size;
    writable.map_flags |= MAP_FIXED;
    long result = memory_map(compartment, &writable);
    if (result < 0)
        memory_unmap(compartment, (uint64_t)address, request->size);
    return result;
}

long memory_map_file(struct compartment *compartment, const struct memory_request *request, int fd, uint64_t offset)
{
    /* Before anything changes: a descriptor that cannot be read must leave the old mapping alone. */
    long wanted = bytes_to_read(fd, request, offset);
    if (wanted < 0)
        return mapping_error(fd, wanted);
    long count = read_chunk(fd, offset, (uint64_t)wanted);
    if (count < 0)
        return mapping_error(fd, count);

    long address = map_for_reading(compartment, request, (uint64_t)wanted);
    if (address < 0)
        return address;

    long result = copy_to_program((void *)address, host_buffer(), (size_t)count);
    if (!result && count == READ_CHUNK_SIZE && wanted > count) {
        long more = memory_read_file(fd, offset + (uint64_t)count, (uint64_t)address + (uint64_t)count,
                                     (uint64_t)(wanted - count));
        result = more < 0 ? more : 0;
    }
    if (!result && request->prot != (PROT_READ | PROT_WRITE))
        result = memory_protect(compartment, (uint64_t)address, (uint64_t)wanted, request->prot);
    if (result) {
        memory_unmap(compartment, (uint64_t)address, request->size);
        return result;
    }
    return address;
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
        .flags = map_flags & MAP_TYPE,
    };
    /* An answer that overlaps what the program has already is a lie: the host cannot have forgotten it. */
    result = vma_overlaps(&memory->vmas, address, address + size) ? -EIO : vma_set(&memory->vmas, &vma);
    spin_unlock(&memory->lock);
    if (result == -ENOMEM)
        host_syscall(__NR_munmap, address, size, 0, 0, 0, 0);
    return result ? result : (long)address;
}
