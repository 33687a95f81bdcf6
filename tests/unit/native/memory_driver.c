// SPDX-License-Identifier: Apache-2.0
/*
 * Runs the LibOS's memory code on a compartment in ordinary memory, with this process as its host, and compares it
 * after each random step with a model of pages: content, permissions, accounting. `memory_driver HOST SEED STEPS`,
 * where HOST is one that takes back pages that are trimmed (honest), now and then does not (refusing), or, as under
 * real ENCLU, is never asked (sgx).
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accept.h"
#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory.h"
#include "require.h"
#include "thread.h"
#include "usercopy.h"

/* The part of the application area that the steps use, in pages: enough for sweeps and for trims. */
#define AREA_OFFSET APP_CODE_END
#define AREA_PAGES 4096
#define LIMIT (3000 * PAGE_SIZE)

struct model_page {
    int mapped, prot;
    int from_file; /* of a mapping that is loaded when touched; its value is FILE_VALUE until it is written */
    unsigned char value; /* every word of the page starts with it */
};
#define FILE_VALUE 0xf1
static struct model_page model[AREA_PAGES];
static unsigned long backing_pages; /* host mappings alive, by pages */
static struct compartment *compartment;
static uint64_t area;
static unsigned long host_calls, refused_trims;
static int host_refuses, may_refuse, on_sgx;

/* --- the host ---------------------------------------------------------------------------------- */

static char buffer[HOST_BUFFER_SIZE];
char *host_buffer(void)
{
    return buffer;
}

long host_protect(uint64_t offset, uint64_t size, uint32_t prot, int commit)
{
    (void)commit;
    host_calls++;
    REQUIRE(size && offset >= APP_OFFSET && offset + size <= APP_END);
    return mprotect((void *)(compartment->base + offset), size, (int)prot) ? -12 : 0;
}

void host_commit(uint64_t offset, uint64_t size)
{
    host_calls++;
    REQUIRE(offset >= APP_OFFSET && offset + size <= APP_END);
}

int enclu_is_real(void)
{
    return on_sgx;
}

long host_trim(uint64_t offset, uint64_t size)
{
    host_calls++;
    if (host_refuses) {
        refused_trims++;
        return -95;
    }
    return madvise((void *)(compartment->base + offset), size, MADV_DONTNEED) ? -22 : 0;
}

long host_fill(uint64_t offset, uint64_t size, uint64_t source, uint32_t prot)
{
    void *at = (void *)(compartment->base + offset);
    host_calls++;
    REQUIRE(size && offset >= APP_OFFSET && offset + size <= APP_END);
    for (uint64_t i = 0; i < size; i += PAGE_SIZE) /* nobody may have had access before */
        REQUIRE(!model[(compartment->base + offset + i - area) / PAGE_SIZE].mapped ||
                model[(compartment->base + offset + i - area) / PAGE_SIZE].from_file);
    REQUIRE(!mprotect(at, size, PROT_READ | PROT_WRITE));
    memcpy(at, (const void *)source, size);
    return mprotect(at, size, (int)prot) ? -12 : (long)size;
}

long host_syscall(uint32_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    (void)a2, (void)a3, (void)a4, (void)a5;
    REQUIRE(number == SYS_munmap);
    REQUIRE(!munmap((void *)a0, a1));
    backing_pages -= a1 / PAGE_SIZE;
    return 0;
}

int memory_plausible_host_mapping(uint64_t address, uint64_t size)
{
    (void)address, (void)size;
    return 1;
}

void host_log(uint32_t level, const char *format, ...)
{
    (void)level, (void)format;
}
_Noreturn void host_exit_group(uint32_t status)
{
    exit((int)status);
}

/* There is one thread here: a lock that is held is a deadlock. */
void spin_wait(const struct spinlock *lock)
{
    (void)lock;
    REQUIRE(0);
}

int outside_enclave(uint64_t address, uint64_t size)
{
    return address + size <= ENCLAVE_BASE || address >= ENCLAVE_BASE + 4UL * COMPARTMENT_STRIDE;
}

long copy_to_program(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return 0;
}

/* --- the model --------------------------------------------------------------------------------- */

static uint64_t page_address(unsigned page)
{
    return area + page * PAGE_SIZE;
}

static uint64_t model_committed(void)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < AREA_PAGES; i++)
        count += model[i].mapped && model[i].prot;
    return count * PAGE_SIZE;
}

static void model_set(unsigned first, unsigned count, int mapped, int prot, int clear)
{
    for (unsigned i = first; i < first + count; i++) {
        model[i].mapped = mapped;
        model[i].prot = prot;
        if (clear) {
            model[i].value = 0;
            model[i].from_file = 0;
        }
    }
}

static int model_covered(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        if (!model[i].mapped)
            return 0;
    return 1;
}

/* What the exception handler does when the program touches a page. */
static void touch(unsigned page, uint32_t access)
{
    enum memory_fault fault = memory_fault(compartment, page_address(page), access);
    REQUIRE(fault == (model[page].from_file ? MEMORY_FAULT_LOADED : MEMORY_FAULT_BAD));
}

static void check_page(unsigned page)
{
    const unsigned char *at = (const unsigned char *)page_address(page);
    struct vma vma;
    int found = !memory_find(compartment, (uint64_t)at, &vma);
    REQUIRE(found == model[page].mapped);
    if (!found)
        return;
    REQUIRE((int)vma.prot == model[page].prot);
    REQUIRE(!vma.backing || model[page].from_file);
    if (!(model[page].prot & PROT_READ))
        return;
    touch(page, PROT_READ);
    for (unsigned i = 0; i < PAGE_SIZE; i += 256)
        REQUIRE(at[i] == model[page].value);
}

/* Mark what is writable, so that it is seen when it survives where zeros must be. */
static void write_pages(unsigned first, unsigned count, unsigned char value)
{
    for (unsigned i = first; i < first + count; i++) {
        if (!model[i].mapped || !(model[i].prot & PROT_WRITE))
            continue;
        touch(i, PROT_WRITE);
        for (unsigned at = 0; at < PAGE_SIZE; at += 256)
            ((unsigned char *)page_address(i))[at] = value;
        model[i].value = value;
    }
}

/* --- the steps --------------------------------------------------------------------------------- */

static unsigned below(unsigned limit)
{
    return (unsigned)rand() % limit;
}

static int random_prot(void)
{
    static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
                                PROT_READ | PROT_EXEC};
    return prots[below(5)];
}

static void step_map(unsigned first, unsigned count, int prot)
{
    unsigned accessible = 0;
    for (unsigned i = first; i < first + count; i++)
        accessible += model[i].mapped && model[i].prot;
    uint64_t after = model_committed() + ((prot ? count : 0) - (uint64_t)accessible) * PAGE_SIZE;
    uint32_t flags = MAP_PRIVATE | MAP_FIXED | (below(8) ? 0 : MAP_POPULATE);
    long result = memory_map_anonymous(compartment, page_address(first), count * PAGE_SIZE, (uint32_t)prot, flags, 0);
    if (prot && count > accessible && after > LIMIT) {
        REQUIRE(result == -12);
        return;
    }
    REQUIRE(result == (long)page_address(first));
    model_set(first, count, 1, prot, 1);
}

static void step_map_file(unsigned first, unsigned count, int prot)
{
    void *backing = mmap(NULL, count * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(backing != MAP_FAILED);
    memset(backing, FILE_VALUE, count * PAGE_SIZE);
    const struct memory_request request = {
        .address = page_address(first),
        .size = count * PAGE_SIZE,
        .prot = (uint32_t)prot,
        .map_flags = MAP_PRIVATE | MAP_FIXED,
        .backing = (uint64_t)backing,
    };
    long result = memory_map(compartment, &request);
    if (result < 0) {
        REQUIRE((result == -12 && prot) || (result == -5 && host_refuses));
        munmap(backing, count * PAGE_SIZE);
        if (result == -5) /* what was there is gone */
            model_set(first, count, 0, 0, 1);
        return;
    }
    backing_pages += count;
    model_set(first, count, 1, prot, 1);
    for (unsigned i = first; i < first + count; i++) {
        model[i].from_file = 1;
        model[i].value = FILE_VALUE;
    }
}

/* As the copying functions do. */
static void step_load(unsigned first, unsigned count)
{
    memory_load(compartment, page_address(first), count * PAGE_SIZE);
    for (unsigned i = first; i < first + count; i++)
        if (model[i].mapped && model[i].prot & PROT_READ)
            REQUIRE(*(const unsigned char *)page_address(i) == model[i].value);
}

static void step_unmap(unsigned first, unsigned count)
{
    REQUIRE(!memory_unmap(compartment, page_address(first), count * PAGE_SIZE));
    model_set(first, count, 0, 0, 1);
}

static void step_protect(unsigned first, unsigned count, int prot)
{
    uint64_t before = model_committed();
    int covered = model_covered(first, count);
    long result = memory_protect(compartment, page_address(first), count * PAGE_SIZE, (uint32_t)prot);
    if (!covered) {
        REQUIRE(result == -12);
        return;
    }
    if (result) {
        REQUIRE(result == -12 && prot && before + count * PAGE_SIZE > LIMIT);
        return;
    }
    model_set(first, count, 1, prot, 0);
}

static void step_discard(unsigned first, unsigned count)
{
    long result = memory_discard(compartment, page_address(first), count * PAGE_SIZE);
    REQUIRE(result == (model_covered(first, count) ? 0 : -12) || (result == -95 && host_refuses));
    for (unsigned i = first; i < first + count; i++)
        if (model[i].mapped && !(model[i].from_file && host_refuses))
            model[i].value = model[i].from_file ? FILE_VALUE : 0;
}

static void step(unsigned number)
{
    unsigned count = below(20) ? 1 + below(24) : 1 + below(1500);
    unsigned first = below(AREA_PAGES - count);
    if (on_sgx)
        REQUIRE(compartment->memory.fill_refused);
    else if (may_refuse)
        host_refuses = !below(3);
    switch (below(11)) {
    case 0:
    case 1:
        step_map(first, count, random_prot());
        break;
    case 2:
        step_unmap(first, count);
        break;
    case 3:
    case 4:
        step_protect(first, count, random_prot());
        break;
    case 5:
        step_discard(first, count);
        break;
    case 6:
    case 7:
        if (!on_sgx) /* memory_file.c asks fill_refused */
            step_map_file(first, count, random_prot());
        break;
    case 8:
        step_load(first, count);
        break;
    default:
        write_pages(first, count, (unsigned char)(1 + number % 255));
    }
    if (below(2)) /* else pages stay as they are, loaded or not */
        for (unsigned i = first; i < first + count; i++)
            check_page(i);
    REQUIRE(compartment->memory.committed == model_committed());
    REQUIRE(compartment->memory.committed <= LIMIT);
}

/* Nothing of the program may be left anywhere. */
static void check_erased(void)
{
    memory_reset(compartment);
    REQUIRE(compartment->memory.vmas.count == 0 && compartment->memory.committed == 0);
    REQUIRE(!dirty_map_count((uint64_t *)(compartment->base + DIRTY_MAP_OFFSET), 0, COMPARTMENT_STRIDE / PAGE_SIZE));
    REQUIRE(!mprotect((void *)area, AREA_PAGES * PAGE_SIZE, PROT_READ));
    for (uint64_t i = 0; i < AREA_PAGES * PAGE_SIZE; i += 256)
        REQUIRE(((const unsigned char *)area)[i] == 0);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    on_sgx = host_refuses = !strcmp(argv[1], "sgx");
    may_refuse = !strcmp(argv[1], "refusing");
    srand((unsigned)strtoul(argv[2], NULL, 10));
    static struct thread thread;
    thread.self = &thread;
    REQUIRE(!syscall(SYS_arch_prctl, ARCH_SET_GS, &thread));
    uint64_t base = COMPARTMENT_BASE(0);
    void *mapping = mmap((void *)base, COMPARTMENT_STRIDE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    REQUIRE(mapping == (void *)base && !mprotect(mapping, APP_OFFSET, PROT_READ | PROT_WRITE));
    compartment = compartment_at(base);
    compartment->base = base;
    area = base + AREA_OFFSET;
    memory_init(compartment, LIMIT);
    unsigned steps = (unsigned)strtoul(argv[3], NULL, 10);
    for (unsigned i = 0; i < steps; i++)
        step(i);
    for (unsigned i = 0; i < AREA_PAGES; i++)
        check_page(i);
    REQUIRE(!memory_unmap(compartment, area, AREA_PAGES * PAGE_SIZE));
    REQUIRE(backing_pages == 0);
    host_refuses |= may_refuse;
    check_erased();
    REQUIRE((refused_trims > 0) == host_refuses);
    printf("%u steps, %lu host calls\n", steps, host_calls);
    return 0;
}
