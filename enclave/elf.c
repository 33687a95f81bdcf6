// SPDX-License-Identifier: Apache-2.0
/* Loading a checked ELF file. */
#include <asm/errno.h>
#include <linux/mman.h>

#include "memory.h"
#include "program.h"
#include "usercopy.h"

/* A file up to this size is read whole: cheaper than a fault for each part of it that is touched. */
#define READ_WHOLE_MAX 0x40000
/* More than this much uninitialised data is left to page faults. */
#define COMMIT_ZEROS_MAX 0x20000

/* From the start of its first page: what precedes a segment in the page belongs to the mapping, as mmap has it. */
static long read_segment(const struct program_file *file, const struct elf_segment *segment, uint64_t bias)
{
    uint64_t lead = segment->address % PAGE_SIZE, size = lead + segment->file_size;
    if (!segment->file_size)
        return 0;
    long count = memory_read_file(file->fd, segment->offset - lead, bias + segment->address - lead, size);
    if (count < 0)
        return count;
    return (uint64_t)count == size ? 0 : -EIO; /* the file shrank meanwhile */
}

/* Final permissions of the segment's pages, and none for the hole before it. */
static long protect_segment(struct compartment *compartment, const struct elf_segment *segment, uint64_t bias,
                            uint64_t previous_end)
{
    uint64_t start = PAGE_ALIGN_DOWN(segment->address), end = PAGE_ALIGN_UP(segment->address + segment->memory_size);
    long result = 0;
    if (previous_end < start)
        result = memory_unmap(compartment, bias + previous_end, start - previous_end);
    if (!result && segment->prot != (PROT_READ | PROT_WRITE))
        result = memory_protect(compartment, bias + start, end - start, segment->prot);
    return result;
}

/* The segments in a range that is all writable: few OCALLs, but every page is read. */
static long read_segments(struct compartment *compartment, const struct program_file *file, const struct elf_file *elf,
                          uint64_t bias)
{
    uint64_t previous_end = elf->low;
    long result = 0;
    for (uint32_t i = 0; i < elf->segment_count && !result; i++)
        result = read_segment(file, &elf->segments[i], bias);
    for (uint32_t i = 0; i < elf->segment_count && !result; i++) {
        result = protect_segment(compartment, &elf->segments[i], bias, previous_end);
        previous_end = PAGE_ALIGN_UP(elf->segments[i].address + elf->segments[i].memory_size);
    }
    return result;
}

/* Through usercopy.S: the page faults if the file has been truncated meanwhile. */
static long zero_tail(uint64_t start, uint64_t end)
{
    static const char zeros[256];
    while (start < end) {
        uint64_t size = end - start < sizeof zeros ? end - start : sizeof zeros;
        if (copy_to_program((void *)start, zeros, size))
            return -EIO;
        start += size;
    }
    return 0;
}

/* One segment as a dynamic linker maps it: the file's part is loaded when touched, zeros follow. */
static long map_segment(struct compartment *compartment, const struct program_file *file,
                        const struct elf_segment *segment, uint64_t bias)
{
    uint64_t lead = segment->address % PAGE_SIZE, start = bias + segment->address - lead;
    uint64_t data_end = bias + segment->address + segment->file_size;
    uint64_t file_end = segment->file_size ? PAGE_ALIGN_UP(data_end) : start;
    uint64_t end = PAGE_ALIGN_UP(bias + segment->address + segment->memory_size);
    const struct memory_request request = {
        .address = start,
        .size = file_end - start,
        .prot = segment->prot,
        .map_flags = MAP_PRIVATE | MAP_FIXED,
    };
    long result = 0;
    if (file_end > start)
        result = memory_map_file(compartment, &request, file->fd, segment->offset - lead);
    if (result >= 0 && end > file_end)
        result = memory_map_anonymous(compartment, file_end, end - file_end, segment->prot, MAP_PRIVATE | MAP_FIXED, 0);
    if (result < 0)
        return result;
    if (segment->memory_size > segment->file_size && segment->prot & PROT_WRITE)
        return zero_tail(data_end, file_end);
    return 0;
}

static long map_segments(struct compartment *compartment, const struct program_file *file, const struct elf_file *elf,
                         uint64_t bias)
{
    uint64_t previous_end = elf->low;
    long result = 0;
    for (uint32_t i = 0; i < elf->segment_count && !result; i++) {
        const struct elf_segment *segment = &elf->segments[i];
        uint64_t start = PAGE_ALIGN_DOWN(segment->address);
        if (previous_end < start)
            result = memory_unmap(compartment, bias + previous_end, start - previous_end);
        if (!result)
            result = map_segment(compartment, file, segment, bias);
        previous_end = PAGE_ALIGN_UP(segment->address + segment->memory_size);
    }
    return result;
}

long elf_load(struct compartment *compartment, const struct program_file *file, const struct elf_file *elf)
{
    const struct elf_segment *last = &elf->segments[elf->segment_count - 1];
    uint64_t span = elf->high - elf->low;
    uint64_t file_end = PAGE_ALIGN_UP(last->address + last->file_size) - elf->low;
    /* The address 0 of the file is what must be aligned: the span is padded so that its start can be placed so. */
    uint64_t lead = elf->low & (elf->alignment - 1);
    int small = file_end <= READ_WHOLE_MAX;
    const struct memory_request request = {
        .size = lead + span,
        .alignment = elf->alignment,
        .prot = small ? PROT_EXEC : PROT_NONE,
        .map_flags = MAP_PRIVATE,
        .commit_size = lead + (span - file_end <= COMMIT_ZEROS_MAX ? span : file_end),
        .filled = small,
    };
    long address = memory_map(compartment, &request);
    if (address < 0)
        return address;
    uint64_t bias = (uint64_t)address + lead - elf->low;
    long result = lead ? memory_unmap(compartment, (uint64_t)address, lead) : 0;
    if (!result)
        result = small ? read_segments(compartment, file, elf, bias) : map_segments(compartment, file, elf, bias);
    if (result) {
        memory_unmap(compartment, bias + elf->low, span);
        return result;
    }
    return (long)bias;
}
