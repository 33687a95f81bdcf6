// SPDX-License-Identifier: Apache-2.0
/*
 * Loads a large ELF file that was truncated after its headers had been checked: the page that ends the data of its last
 * segment cannot be loaded. Memory is ours; that page is the one that the program must not touch.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"
#include "program.h"
#include "usercopy.h"

#define SIZE 0x100000
#define DATA_SIZE 0x80010 /* too large to be read at once, and not of whole pages */
static char *area;
static uint64_t loadable; /* bytes that the file still has */
static int unmapped;

long memory_map(struct compartment *compartment, const struct memory_request *request)
{
    (void)compartment;
    return request->size <= SIZE ? (long)area : -ENOMEM;
}

long memory_map_anonymous(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot,
                          uint32_t map_flags, uint32_t vma_flags)
{
    (void)compartment, (void)size, (void)prot, (void)map_flags, (void)vma_flags;
    return (long)address;
}

long memory_map_file(struct compartment *compartment, const struct memory_request *request, int fd, uint64_t offset)
{
    (void)compartment, (void)fd, (void)offset;
    return (long)request->address;
}

long memory_read_file(int fd, uint64_t offset, uint64_t address, uint64_t size)
{
    (void)fd, (void)offset, (void)address;
    return (long)size;
}

long memory_unmap(struct compartment *compartment, uint64_t address, uint64_t size)
{
    (void)compartment, (void)address, (void)size;
    unmapped = 1;
    return 0;
}

long memory_protect(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot)
{
    (void)compartment, (void)address, (void)size, (void)prot;
    return 0;
}

int memory_load(struct compartment *compartment, uint64_t address, uint64_t size)
{
    (void)compartment, (void)size;
    return address + size <= (uint64_t)area + loadable;
}

long copy_to_program(void *to, const void *from, size_t size)
{
    if ((char *)to + size > area + loadable)
        return -EFAULT;
    memcpy(to, from, size);
    return 0;
}

static long load(void)
{
    const struct program_file file = {.fd = 3};
    struct elf_file elf = {.high = DATA_SIZE + 2 * PAGE_SIZE, .alignment = PAGE_SIZE, .segment_count = 1};
    elf.segments[0] = (struct elf_segment){
        .file_size = DATA_SIZE, .memory_size = DATA_SIZE + PAGE_SIZE, .prot = PROT_READ | PROT_WRITE};
    unmapped = 0;
    mprotect(area, SIZE, PROT_NONE);
    mprotect(area, loadable, PROT_READ | PROT_WRITE);
    return elf_load(NULL, &file, &elf);
}

int main(void)
{
    area = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    loadable = PAGE_ALIGN_UP(DATA_SIZE);
    memset(area, 'x', loadable);
    if (load() != (long)area || unmapped || area[DATA_SIZE - 1] != 'x' || area[DATA_SIZE] || area[loadable - 1]) {
        printf("a whole file is loaded wrongly\n");
        return 1;
    }
    loadable -= PAGE_SIZE;
    long result = load();
    if (result != -EIO || !unmapped) {
        printf("a truncated file: %ld\n", result);
        return 1;
    }
    return 0;
}
