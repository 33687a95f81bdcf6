/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validation of ELF headers, as pure functions: the file is foreign bytes. What passes here can be loaded without
 * further checks of the headers. Each check returns NULL or what is wrong with the file, for the user.
 */
#ifndef TEEMATE_ELF_CHECK_H
#define TEEMATE_ELF_CHECK_H
#include <stdint.h>

#define ELF_SEGMENTS_MAX 28 /* program headers; linkers make about a dozen */

struct elf_segment { /* one PT_LOAD */
    uint64_t offset, address, file_size, memory_size;
    uint32_t prot; /* PROT_* */
    uint32_t reserved;
};

struct elf_file {
    uint64_t entry;
    uint64_t low, high; /* page-aligned span of the segments; addresses as in the file */
    uint64_t alignment; /* of the load address */
    uint64_t headers_address; /* program headers in memory, 0: not loaded */
    uint64_t interpreter_offset, interpreter_size; /* path in the file with its NUL; size 0: none */
    uint32_t headers_count;
    uint32_t executable_stack;
    uint32_t segment_count;
    struct elf_segment segments[ELF_SEGMENTS_MAX]; /* ascending, disjoint by pages, not empty */
};

/* The program headers must lie in so much of the file, as every linker puts them. */
#define ELF_HEAD_SIZE 4096

/*
 * `head` is the first `head_size` bytes of the file (ELF_HEAD_SIZE unless the file is shorter), in trusted or
 * untrusted memory: each byte is read once.
 */
const char *elf_check(struct elf_file *elf, const void *head, uint64_t head_size, uint64_t file_size);
#endif
