/* SPDX-License-Identifier: Apache-2.0 */
/* The lease: read it, check it, map it. */
#include "attach.h"

#include <linux/fcntl.h>
#include <linux/mman.h>

#include "../enclave/include/layout.h"
#include "cpu_table.h"
#include "log.h"
#include "string.h"
#include "syscall.h"

#define PAGE_MASK 0xfffUL
#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)

static const char *check_mapping(const struct lease_grant *grant, const struct lease_mapping *mapping)
{
    uint64_t end = grant->enclave_base + grant->enclave_size;

    if ((mapping->address | mapping->size | mapping->offset) & PAGE_MASK || !mapping->size)
        return "a mapping is not page-aligned";
    if (mapping->address < grant->enclave_base || mapping->address >= end || mapping->size > end - mapping->address)
        return "a mapping lies outside the enclave";
    if (mapping->descriptor >= LEASE_MAPPINGS_MAX)
        return "a mapping names a descriptor that cannot be";
    if (mapping->prot & ~PROT_ALL)
        return "a mapping has unknown permissions";
    return NULL;
}

static const char *check_grant(const struct lease_grant *grant)
{
    if (grant->enclave_base != ENCLAVE_BASE || grant->enclave_base + grant->enclave_size < grant->enclave_base)
        return "the enclave is at another address than this mate expects";
    if (grant->compartment_base != COMPARTMENT_BASE(grant->compartment_index) ||
        grant->compartment_base + COMPARTMENT_STRIDE > grant->enclave_base + grant->enclave_size)
        return "the compartment lies outside the enclave";
    if (!grant->thread_count || grant->thread_count > THREADS_MAX)
        return "the number of threads is impossible";
    if (!grant->mapping_count || grant->mapping_count > LEASE_MAPPINGS_MAX)
        return "the number of mappings is impossible";
    if (grant->pool[sizeof(grant->pool) - 1])
        return "the pool's name is not terminated";
    for (uint32_t i = 0; i < grant->mapping_count; i++) {
        const char *wrong = check_mapping(grant, &grant->mappings[i]);

        if (wrong)
            return wrong;
    }
    return NULL;
}

static unsigned mapped_descriptors(const struct lease_grant *grant)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < grant->mapping_count; i++)
        if (grant->mappings[i].descriptor >= count)
            count = grant->mappings[i].descriptor + 1;
    return count;
}

static const char START_HINT[] = "Start the mate through teemate-runtime, which passes the lease on";

static void read_grant(struct lease_grant *grant, int descriptor)
{
    long size = syscall4(__NR_pread64, descriptor, grant, sizeof(*grant), 0);
    const char *wrong;

    if (size != sizeof(*grant))
        die("descriptor %d holds no lease grant (read: %ld). %s", descriptor, size, START_HINT);
    if (grant->magic != LEASE_MAGIC)
        die("descriptor %d holds no lease grant (magic %x). %s", descriptor, grant->magic, START_HINT);
    if (grant->version != LEASE_VERSION)
        die("the lease grant has version %u, this mate knows version %u: use a mate and a host daemon of the same "
            "release",
            grant->version, LEASE_VERSION);
    wrong = check_grant(grant);
    if (wrong)
        die("bad lease grant: %s. Use a mate and a host daemon of the same release", wrong);
}

void lease_read(struct lease *lease, const int *descriptors, unsigned available, int has_channel)
{
    if (!available)
        die("the lease has no descriptors. %s", START_HINT);
    read_grant(&lease->grant, descriptors[0]);
    cpu_table_read(descriptors[0]);
    lease->has_channel = has_channel;
    lease->descriptor_count = 1 + mapped_descriptors(&lease->grant) + has_channel;
    if (lease->descriptor_count > available)
        die("the lease has %u descriptors, its grant needs %u. %s", available, lease->descriptor_count, START_HINT);
    for (unsigned i = 0; i < lease->descriptor_count; i++) {
        if (syscall_failed(syscall2(__NR_fcntl, descriptors[i], F_GETFD)))
            die("the lease is incomplete: descriptor %d (of those from %d on) is not open. %s", descriptors[i],
                descriptors[0], START_HINT);
        lease->descriptors[i] = descriptors[i];
    }
}

void lease_read_row(struct lease *lease, int first)
{
    int descriptors[LEASE_DESCRIPTORS_MAX];

    for (int i = 0; i < LEASE_DESCRIPTORS_MAX; i++)
        descriptors[i] = first + i;
    lease_read(lease, descriptors, LEASE_DESCRIPTORS_MAX, 1);
}

static void map_one(const struct lease *lease, const struct lease_mapping *mapping)
{
    long address = syscall6(__NR_mmap, mapping->address, mapping->size, mapping->prot, MAP_SHARED | MAP_FIXED_NOREPLACE,
                            lease->descriptors[1 + mapping->descriptor], mapping->offset);

    if (syscall_failed(address))
        die("cannot map the enclave at %lx (%ld bytes): error %d. The address is taken (17), or the memory limit of "
            "the process is too low (12: see ulimit -v)",
            (unsigned long)mapping->address, (long)mapping->size, (int)-address);
    if ((uint64_t)address != mapping->address)
        die("the kernel ignored MAP_FIXED_NOREPLACE: use Linux 4.17 or newer");
}

void lease_map(const struct lease *lease)
{
    for (uint32_t i = 0; i < lease->grant.mapping_count; i++)
        map_one(lease, &lease->grant.mappings[i]);
    /*
     * A core dump must not hold the enclave's memory; nor does the kernel's own SGX driver let it. Gaps between
     * mappings make this fail with ENOMEM, after it has done the rest.
     */
    syscall3(__NR_madvise, lease->grant.enclave_base, lease->grant.enclave_size, MADV_DONTDUMP);
}

void lease_close_program_memory(const struct lease *lease)
{
    uint64_t base = lease->grant.compartment_base;
    long result = syscall3(__NR_mprotect, base + APP_OFFSET, APP_END - APP_OFFSET, PROT_NONE);

    if (result)
        die("cannot protect the program's memory at %lx: error %d", (unsigned long)(base + APP_OFFSET), (int)-result);
}

void lease_map_in_child(const struct lease *lease)
{
    unsigned char present;

    /* ENOMEM: nothing is mapped there */
    if (!syscall3(__NR_mincore, lease->grant.mappings[0].address, 1, &present))
        return;
    lease_map(lease);
    lease_close_program_memory(lease);
}
