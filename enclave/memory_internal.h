/* SPDX-License-Identifier: Apache-2.0 */
/* What the memory_*.c files share: the functions that expect memory.lock to be held. */
#ifndef TEEMATE_MEMORY_INTERNAL_H
#define TEEMATE_MEMORY_INTERNAL_H
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "memory.h"

/* Unmapped memory that may still hold EPC pages is given back when there is more of it than this. */
#define STALE_SIZE_MAX 0x400000
/* So much is zeroed in place; above it the pages are given back, which also zeroes them. */
#define ZERO_IN_PLACE_MAX 0x100000

/* Does the range lie in the compartment's application area? */
static inline int in_app_area(const struct compartment *compartment, uint64_t address, uint64_t size)
{
    uint64_t offset = address - compartment->base;
    return offset >= APP_OFFSET && offset < APP_END && size <= APP_END - offset;
}

static inline uint64_t *dirty_map(const struct compartment *compartment)
{
    return (uint64_t *)(compartment->base + DIRTY_MAP_OFFSET);
}

static inline uint64_t page_of(const struct compartment *compartment, uint64_t address)
{
    return (address - compartment->base) / PAGE_SIZE;
}

/* Of a mapping with backing: has the page been loaded? */
static inline int is_loaded(const struct compartment *compartment, uint64_t page)
{
    return dirty_map_count(dirty_map(compartment), page, page + 1) != 0;
}

/* PROT_READ stands for any access: what may be written or executed can be read, too. */
static inline int vma_permits(const struct vma *entry, uint32_t access)
{
    return access == PROT_READ ? entry->prot != PROT_NONE : !!(entry->prot & access);
}

long memory_map_locked(struct compartment *compartment, const struct memory_request *request);
long memory_unmap_locked(struct compartment *compartment, uint64_t address, uint64_t size);
long memory_protect_locked(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot);

/*
 * Make the range, whose pages have `prot` on the host, read as zero. The host is asked to take back what is much, or
 * not writable; where it does not, that is zeroed in place, and is dirty still.
 */
long memory_zero_locked(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot);

/* Pages are loaded in groups of so many bytes, aligned: one fault costs more than the copying of a few pages. */
#define LOAD_SIZE 0x8000UL
/* Read-only parts of a file up to this size are loaded at once. */
#define LOAD_TABLE_MAX 0x40000UL

/* Load the first page of a new mapping with backing. 0, or the host's -errno. */
long memory_try_load(struct compartment *compartment, uint64_t address);

/* The host mapping behind part of an entry is needed no more. */
void memory_release_backing(const struct vma *entry, uint64_t start, uint64_t end);

/* Bytes of the range that may hold data. */
uint64_t memory_dirty_size(const struct compartment *compartment, uint64_t start, uint64_t end);

/* Let go of what a new mapping replaces. Returns whether the host must be told that it is gone. */
int memory_release_replaced_locked(struct compartment *compartment, uint64_t start, uint64_t end);

/* Count `added` more and `removed` fewer committed bytes, or log the setting and return -ENOMEM. */
long memory_charge_locked(struct compartment *compartment, uint64_t added, uint64_t removed);

/* May the host's answer be a mapping for the program? Not in ELRANGE, not where the mate is. */
int memory_plausible_host_mapping(uint64_t address, uint64_t size);
#endif
