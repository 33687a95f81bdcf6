/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compartment's page table of its own: which ranges the program has mapped, with which permissions.
 * The host's mprotect makes them felt (OCALL_PROTECT); what the LibOS believes is decided here.
 */
#ifndef TEEMATE_MEMORY_H
#define TEEMATE_MEMORY_H
#include <stddef.h>
#include <stdint.h>

#include "spinlock.h"

#define PAGE_SIZE 4096UL
#define PAGE_ALIGN_DOWN(x) ((x) & ~(PAGE_SIZE - 1))
#define PAGE_ALIGN_UP(x) (((x) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1))

enum vma_kind {
    VMA_PRIVATE = 0, /* in the compartment */
    VMA_SHARED = 1,  /* MAP_SHARED of a file: host memory outside ELRANGE, untrusted */
};

struct vma {
    uint64_t start, end; /* addresses, page-aligned */
    uint32_t prot;       /* PROT_* */
    uint32_t kind;
    uint32_t flags;      /* MAP_* the program gave, VMA_* below */
    uint32_t reserved;
};
#define VMA_STACK 0x80000000u
#define VMA_BRK 0x40000000u

struct memory {
    struct spinlock lock;
    uint32_t vma_count;      /* sorted array at VMAS_OFFSET */
    uint64_t committed;      /* bytes of private accessible mappings */
    uint64_t limit;
    uint64_t brk_start, brk, brk_limit;
    uint64_t hint;           /* where to look for free addresses first */
    uint64_t hint_code;      /* the same for executable mappings, below APP_CODE_END */
};

struct compartment;

void memory_init(struct compartment *compartment, uint64_t limit);
/* Erase and unmap everything of the program (execve, scrub). Returns the number of pages erased. */
uint64_t memory_reset(struct compartment *compartment);

/*
 * Anonymous private memory, zeroed. address 0: anywhere (executable: near the trampolines).
 * Returns the address, or -errno.
 */
long memory_map_anonymous(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot,
                          uint32_t map_flags, uint32_t vma_flags);
long memory_unmap(struct compartment *compartment, uint64_t address, uint64_t size);
long memory_protect(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot);

/* The VMA that holds the address, copied out. Returns 0 or -ENOENT. */
int memory_find(struct compartment *compartment, uint64_t address, struct vma *out);

/* May the patcher write here: private, executable program text? */
int memory_is_program_text(struct compartment *compartment, uint64_t address, uint64_t size);
/* Make text writable for the patcher, and executable-only again. */
long memory_text_writable(struct compartment *compartment, uint64_t address, uint64_t size, int writable);
#endif
