// SPDX-License-Identifier: Apache-2.0
#include "elf_check.h"

#include <linux/elf.h>
#include <linux/mman.h>
#include <stddef.h>

#include "include/layout.h"
#include "string.h"

#define PAGE 4096UL
#define PAGE_DOWN(x) ((x) & ~(PAGE - 1))
#define PAGE_UP(x) PAGE_DOWN((x) + PAGE - 1)
/* An image larger than the area for code, or aligned more coarsely, could not be placed. */
#define SPAN_MAX (APP_CODE_END - APP_OFFSET)
#define ALIGNMENT_MAX 0x10000000UL
#define PATH_MAX_SIZE 4096

static const char *check_identity(const Elf64_Ehdr *header)
{
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return "is not an ELF program";
    if (header->e_ident[EI_CLASS] != ELFCLASS64)
        return "is not a 64-bit program";
    if (header->e_ident[EI_DATA] != ELFDATA2LSB)
        return "is not a little-endian program";
    if (header->e_machine != EM_X86_64)
        return "is for another processor than x86-64";
    if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
        return "has an unknown ELF version";
    if (header->e_type == ET_EXEC)
        return "is not position-independent: it wants fixed addresses, and an enclave has its own; "
               "build it with -fPIE -pie (gcc -static-pie when static)";
    if (header->e_type != ET_DYN)
        return "is an ELF file but not a program";
    if (header->e_phentsize != sizeof(Elf64_Phdr))
        return "has program headers of an unknown size";
    if (header->e_phnum == 0)
        return "has no program headers";
    return NULL;
}

static const char *check_extent(const Elf64_Phdr *header, uint64_t file_size)
{
    if (header->p_offset > file_size || header->p_filesz > file_size - header->p_offset)
        return "is truncated: a segment lies beyond the end of the file";
    return NULL;
}

static const char *check_load(struct elf_file *elf, const Elf64_Phdr *header, uint64_t file_size)
{
    if (header->p_filesz > header->p_memsz)
        return "has a segment that is larger in the file than in memory";
    if (header->p_memsz == 0)
        return NULL;
    /* Before anything is rounded up or added: nothing below can overflow. */
    if (header->p_vaddr > SPAN_MAX || header->p_memsz > SPAN_MAX)
        return "has a segment at an impossible address or of an impossible size";
    const char *fault = check_extent(header, file_size);
    if (fault)
        return fault;
    if (header->p_align & (header->p_align - 1) || header->p_align > ALIGNMENT_MAX)
        return "has a segment of impossible alignment";
    if ((header->p_vaddr - header->p_offset) % PAGE)
        return "has a segment whose address and file offset do not agree";
    uint64_t low = PAGE_DOWN(header->p_vaddr), high = PAGE_UP(header->p_vaddr + header->p_memsz);
    if (elf->segment_count && low < elf->high)
        return "has segments that overlap or are out of order";
    if (elf->segment_count == ELF_SEGMENTS_MAX)
        return "has too many segments";

    struct elf_segment *segment = &elf->segments[elf->segment_count];
    segment->offset = header->p_offset;
    segment->address = header->p_vaddr;
    segment->file_size = header->p_filesz;
    segment->memory_size = header->p_memsz;
    segment->prot = (header->p_flags & PF_R ? PROT_READ : 0) | (header->p_flags & PF_W ? PROT_WRITE : 0) |
                    (header->p_flags & PF_X ? PROT_EXEC : 0);
    segment->reserved = 0;
    if (!elf->segment_count)
        elf->low = low;
    elf->high = high;
    if (header->p_align > elf->alignment)
        elf->alignment = header->p_align;
    elf->segment_count++;
    return NULL;
}

static const char *check_interpreter(struct elf_file *elf, const Elf64_Phdr *header, uint64_t file_size)
{
    if (elf->interpreter_size)
        return "names two interpreters";
    if (header->p_filesz < 2 || header->p_filesz > PATH_MAX_SIZE)
        return "has an interpreter path of impossible length";
    elf->interpreter_offset = header->p_offset;
    elf->interpreter_size = header->p_filesz;
    return check_extent(header, file_size);
}

/* What can be told only when all program headers are known. */
static const char *check_whole(struct elf_file *elf, uint64_t headers_offset)
{
    if (!elf->segment_count)
        return "has no loadable segment";
    int entry_found = 0;
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        const struct elf_segment *segment = &elf->segments[i];
        if (segment->prot & PROT_EXEC && elf->entry >= segment->address &&
            elf->entry - segment->address < segment->memory_size)
            entry_found = 1;
        uint64_t headers_size = elf->headers_count * sizeof(Elf64_Phdr);
        if (headers_offset >= segment->offset && headers_offset - segment->offset <= segment->file_size &&
            headers_size <= segment->file_size - (headers_offset - segment->offset))
            elf->headers_address = segment->address + (headers_offset - segment->offset);
    }
    return entry_found ? NULL : "has its entry point outside of its executable segments";
}

const char *elf_check(struct elf_file *elf, const void *head, uint64_t head_size, uint64_t file_size)
{
    Elf64_Ehdr header;
    memset(elf, 0, sizeof *elf);
    if (head_size < sizeof header)
        return head_size >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG) ? "is truncated: its ELF header is incomplete"
                                                                      : "is not an ELF program";
    memcpy(&header, head, sizeof header);
    const char *fault = check_identity(&header);
    if (fault)
        return fault;
    uint64_t headers_size = header.e_phnum * sizeof(Elf64_Phdr);
    if (header.e_phoff > file_size || headers_size > file_size - header.e_phoff)
        return "is truncated: its program headers lie beyond the end of the file";
    if (header.e_phoff > head_size || headers_size > head_size - header.e_phoff)
        return "has too many program headers, or not where a linker puts them";

    elf->entry = header.e_entry;
    elf->headers_count = header.e_phnum;
    elf->alignment = PAGE;
    for (uint32_t i = 0; i < header.e_phnum && !fault; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, (const char *)head + header.e_phoff + i * sizeof segment, sizeof segment);
        if (segment.p_type == PT_LOAD)
            fault = check_load(elf, &segment, file_size);
        else if (segment.p_type == PT_INTERP)
            fault = check_interpreter(elf, &segment, file_size);
        else if (segment.p_type == PT_GNU_STACK)
            elf->executable_stack = !!(segment.p_flags & PF_X);
    }
    return fault ? fault : check_whole(elf, header.e_phoff);
}
