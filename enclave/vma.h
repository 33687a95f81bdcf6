/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sorted array of address ranges: pure bookkeeping, no lock, no host. memory_*.c keep the compartment's
 * table with it and take memory.lock around every use.
 */
#ifndef TEEMATE_VMA_H
#define TEEMATE_VMA_H
#include <stdint.h>

enum vma_kind {
    VMA_PRIVATE = 0, /* in the compartment */
    VMA_SHARED = 1, /* MAP_SHARED of a file: host memory outside ELRANGE, untrusted */
};

struct vma {
    uint64_t start, end; /* addresses, page-aligned */
    uint32_t prot; /* PROT_* */
    uint32_t kind; /* enum vma_kind */
    uint32_t flags; /* MAP_* the program gave, VMA_* below */
    uint32_t reserved;
    /*
     * Not 0: pages are loaded when they are touched, from here: the host address of what `start` is to hold. A page
     * has been loaded if it is dirty (dirty_map.h); others are inaccessible on the host.
     */
    uint64_t backing;
};
#define VMA_STACK 0x80000000u
#define VMA_BRK 0x40000000u
#define VMA_OF_CHILD 0x20000000u /* host memory of a vfork child, which its parent does not have */
#define VMA_TABLE_SLACK 2

struct vma_table {
    struct vma *entries; /* sorted, disjoint; like neighbours are merged */
    uint32_t count;
    uint32_t capacity; /* entries has room for VMA_TABLE_SLACK more: a change may pass through them */
};

/* Index of the first entry that ends above the address; count if there is none. */
uint32_t vma_search(const struct vma_table *table, uint64_t address);

/* Is every address of the range mapped? */
int vma_covers(const struct vma_table *table, uint64_t start, uint64_t end);

/* Does any entry overlap the range? */
int vma_overlaps(const struct vma_table *table, uint64_t start, uint64_t end);

/* Bytes of the range that are private and accessible: what counts against the memory limit. */
uint64_t vma_committed(const struct vma_table *table, uint64_t start, uint64_t end);

/* The three changes. -ENOMEM, nothing changed: the table might have to grow beyond its capacity. */
int vma_set(struct vma_table *table, const struct vma *entry); /* in place of whatever the range held */
int vma_clear(struct vma_table *table, uint64_t start, uint64_t end);
int vma_protect(struct vma_table *table, uint64_t start, uint64_t end, uint32_t prot); /* -ENOMEM: a hole */

/* Would the change find room? */
int vma_has_room(const struct vma_table *table); /* vma_set, vma_protect */
int vma_can_clear(const struct vma_table *table, uint64_t start, uint64_t end);

/*
 * The lowest (highest) aligned address of a free range of this size between low and high; 0 if there is
 * none. alignment is a power of two.
 */
uint64_t vma_gap_lowest(const struct vma_table *table, uint64_t low, uint64_t high, uint64_t size, uint64_t alignment);
uint64_t vma_gap_highest(const struct vma_table *table, uint64_t low, uint64_t high, uint64_t size, uint64_t alignment);
#endif
