/* SPDX-License-Identifier: Apache-2.0 */
/* OCALLs on the compartment's pages. Offsets count from its base; nothing outside it is ever touched. */
#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/mman.h>

#include "log.h"
#include "mate.h"
#include "ocall.h"
#include "protect_log.h"
#include "syscall.h"

#define PAGE_MASK 0xfffUL
/* Linux 5.14; newer than the headers that this may be built with */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)

static int is_range(uint64_t offset, uint64_t size)
{
    return !((offset | size) & PAGE_MASK) && size <= COMPARTMENT_STRIDE && offset <= COMPARTMENT_STRIDE - size;
}

/* Which way pages come in follows from what may be done with them; failure costs page faults later, no more. */
static void populate(uint64_t address, uint64_t size, int writable)
{
    syscall3(__NR_madvise, address, size, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

void ocall_protect(struct host_thread *thread)
{
    struct ocall_protect *protect = &thread->exchange->u.protect;
    uint64_t address = mate.lease.grant.compartment_base + protect->offset;

    if (!is_range(protect->offset, protect->size) || protect->prot & ~PROT_ALL) {
        protect->result = -EINVAL;
        return;
    }
    protect->result = protect_range(protect->offset, protect->size, protect->prot);
    if (!protect->result && protect->commit && protect->prot != PROT_NONE)
        populate(address, protect->size, protect->prot & PROT_WRITE);
}

long memory_back(uint64_t offset, uint64_t size)
{
    if (!is_range(offset, size))
        return -EINVAL;
    return syscall3(__NR_madvise, mate.lease.grant.compartment_base + offset, size, MADV_POPULATE_WRITE);
}

void ocall_commit(struct host_thread *thread)
{
    const struct ocall_commit *commit = &thread->exchange->u.commit;

    if (is_range(commit->offset, commit->size))
        populate(mate.lease.grant.compartment_base + commit->offset, commit->size, 1);
}

/* The descriptor and offset behind an address of the compartment. Returns the descriptor, or -1. */
static int find_descriptor(uint64_t address, uint64_t size, uint64_t *offset)
{
    const struct lease *lease = &mate.lease;

    for (uint32_t i = 0; i < lease->grant.mapping_count; i++) {
        const struct lease_mapping *mapping = &lease->grant.mappings[i];
        uint64_t distance = address - mapping->address;

        if (address >= mapping->address && distance < mapping->size && size <= mapping->size - distance) {
            *offset = mapping->offset + distance;
            return lease->descriptors[1 + mapping->descriptor];
        }
    }
    return -1;
}

/* By descriptor, since madvise would refuse a range that is not writable at the moment. It may span mappings. */
static long punch(uint64_t address, uint64_t size)
{
    const struct lease *lease = &mate.lease;
    const struct lease_mapping *mapping = lease->grant.mappings;
    const struct lease_mapping *end = mapping + lease->grant.mapping_count;

    while (size && mapping < end) {
        uint64_t distance = address - mapping->address, part = mapping->size - distance;
        long result;

        if (address < mapping->address || distance >= mapping->size) {
            mapping++;
            continue;
        }
        if (part > size)
            part = size;
        result = syscall4(__NR_fallocate, lease->descriptors[1 + mapping->descriptor],
                          FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, mapping->offset + distance, part);
        if (result)
            return result;
        address += part;
        size -= part;
        mapping = lease->grant.mappings;
    }
    return size ? -EINVAL : 0;
}

void ocall_trim(struct host_thread *thread)
{
    struct ocall_trim *trim = &thread->exchange->u.trim;

    if (!is_range(trim->offset, trim->size) || !trim->size)
        trim->result = -EINVAL;
    else
        trim->result = punch(mate.lease.grant.compartment_base + trim->offset, trim->size);
}

/*
 * The pages stay inaccessible while they are written, by descriptor. The write ends early where the source has no
 * more: at the end of a mapped file.
 */
void ocall_fill(struct host_thread *thread)
{
    struct ocall_fill *fill = &thread->exchange->u.fill;
    uint64_t address = mate.lease.grant.compartment_base + fill->offset, offset;
    long count, result = 0;
    int descriptor;

    fill->result = -EINVAL;
    if (!is_range(fill->offset, fill->size) || fill->prot & ~PROT_ALL)
        return;
    descriptor = find_descriptor(address, fill->size, &offset);
    if (descriptor < 0)
        return;
    count = syscall4(__NR_pwrite64, descriptor, fill->source, fill->size, offset);
    if (count == -EINVAL || count == -EBADF || count == -ESPIPE)
        count = -EOPNOTSUPP; /* EPC that only its mapping gives access to */
    if (count > 0)
        result = protect_range(fill->offset, (uint64_t)count, fill->prot);
    /* Spares a fault for each page. Of those that are only read the kernel maps many at the first one. */
    if (count > 0 && !result && fill->prot & PROT_WRITE)
        populate(address, (uint64_t)count, 1);
    fill->result = result ? result : count;
}
