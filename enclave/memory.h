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
#include "vma.h"

#define PAGE_SIZE 4096UL
#define PAGE_ALIGN_DOWN(x) ((x) & ~(PAGE_SIZE - 1))
#define PAGE_ALIGN_UP(x) (((x) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1))

struct memory {
    struct spinlock lock;
    uint32_t limit_logged; /* the limit was met and named in the log */
    uint32_t fill_refused; /* the host cannot fill pages at once (OCALL_FILL): files are read when mapped */
    uint32_t fill_tried;
    struct vma_table vmas; /* entries at VMAS_OFFSET */
    uint32_t copied, copied_count; /* memory_table.c */
    uint64_t committed; /* bytes of private accessible mappings */
    uint64_t limit;
    uint64_t stale; /* bytes unmapped since the last sweep that hold EPC pages */
    uint64_t brk_start, brk;
    uint64_t map_low, map_high; /* addresses are chosen from these on, upwards and downwards: see address_layout.h */
};

struct compartment;

void memory_init(struct compartment *compartment, uint64_t limit);
/* Erase and unmap everything of the program (execve, scrub). Returns the number of pages erased. */
uint64_t memory_reset(struct compartment *compartment);

/* What to map. All sizes are of whole pages. */
struct memory_request {
    uint64_t address; /* 0: anywhere (executable and file mappings: within reach of the trampolines) */
    uint64_t size;
    uint64_t alignment; /* of an address chosen here; 0: a page */
    uint32_t prot;
    uint32_t map_flags; /* MAP_*, as the program gave them */
    uint32_t vma_flags; /* VMA_* */
    uint64_t commit_size; /* so much from the start will be touched at once */
    uint64_t backing; /* host memory that pages are loaded from when touched, or 0; goes with the mapping */
    uint32_t filled; /* readable and writable for now: the caller fills it, then sets prot by memory_protect */
};

/* Private memory, zeroed. Returns the address, or -errno. */
long memory_map(struct compartment *compartment, const struct memory_request *request);

/* The same for anonymous memory. */
long memory_map_anonymous(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot,
                          uint32_t map_flags, uint32_t vma_flags);

/* A private copy of a part of a file; beyond its end there are zeros. Returns the address, or -errno. */
long memory_map_file(struct compartment *compartment, const struct memory_request *request, int fd, uint64_t offset);

/* A host mapping of part of a file, to be the backing of a request. Returns its address, or -errno. */
long memory_map_backing(int fd, uint64_t offset, uint64_t size);

/* Copy part of a file to mapped, writable memory. Returns the bytes copied (less at the end of file) or -errno. */
long memory_read_file(int fd, uint64_t offset, uint64_t address, uint64_t size);

/* Host memory that is shared with whoever else maps the file. Returns the address, or -errno. */
long memory_map_shared(struct compartment *compartment, uint64_t size, uint32_t prot, uint32_t map_flags, int fd,
                       uint64_t offset);

/* As mremap(2), without a hole between old and new meaning. Returns the address, or -errno. */
long memory_remap(struct compartment *compartment, uint64_t address, uint64_t old_size, uint64_t new_size,
                  uint32_t flags, uint64_t new_address);

/*
 * Drop the content of the range: it reads as zero afterwards, or as the file does. Only a file mapping that was read
 * whole when it was made keeps what the program wrote to it.
 */
long memory_discard(struct compartment *compartment, uint64_t address, uint64_t size);

/* Move the end of the heap. Returns the new end, or the old one if that is not possible. */
uint64_t memory_brk(struct compartment *compartment, uint64_t end);

long memory_unmap(struct compartment *compartment, uint64_t address, uint64_t size);
long memory_protect(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot);

enum memory_fault {
    MEMORY_FAULT_BAD, /* nothing there, or not permitted */
    MEMORY_FAULT_LOADED, /* try again: the page was still to be loaded */
    MEMORY_FAULT_NO_FILE /* the file that is mapped there has no such page, or cannot be read */
};
/* The program touched the address and faulted; `access` is PROT_READ, PROT_WRITE or PROT_EXEC. */
enum memory_fault memory_fault(struct compartment *compartment, uint64_t address, uint32_t access);

/* Load what is still to be loaded of the range. Returns 1 if there was something: an access may succeed now. */
int memory_load(struct compartment *compartment, uint64_t address, uint64_t size);

/*
 * Once there has been a vfork child: bring this process's permissions up to date, see memory_repair.c. Returns 0 if
 * the table does not permit the access anyway.
 */
int memory_repair(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t access);

/* The VMA that holds the address, copied out. Returns 0 or -ENOENT. */
int memory_find(struct compartment *compartment, uint64_t address, struct vma *out);

/* May the patcher write here: private, executable program text? */
int memory_is_program_text(struct compartment *compartment, uint64_t address, uint64_t size);
/* Make text writable for the patcher, and executable-only again. */
long memory_text_writable(struct compartment *compartment, uint64_t address, uint64_t size, int writable);
#endif
