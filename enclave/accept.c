// SPDX-License-Identifier: Apache-2.0
/*
 * A page that EACCEPT takes in is zero: the CPU has seen to that. But between two entries a host can also remove a
 * page, whatever is in it, and add another at its place. So each page is accepted once: an accepted page that is
 * pending again has been taken from us, and whoever touches it gets no further. What a page may be used for is the
 * LibOS's table's decision; to the CPU all of the program's memory may be executed, as when it is added beforehand.
 */
#include "accept.h"

#include "compartment.h"
#include "include/layout.h"
#include "include/sgx_arch.h"
#include "thread.h"

#define PAGE_FAULT_FETCH 0x10
#define PAGE_FAULT_EPCM 0x8000
#define WORD_BITS 64

_Static_assert(ENCLAVE_BASE % COMPARTMENT_STRIDE == 0, "bases are aligned");
_Static_assert(ACCEPTED_MAP_SIZE >= COMPARTMENT_STRIDE / SGX_PAGE_SIZE / 8, "one bit a page");

struct secinfo {
    uint64_t flags;
    uint64_t reserved[7];
} __attribute__((aligned(64)));

static uint64_t compartment_base(uint64_t address)
{
    return address & ~(uint64_t)(COMPARTMENT_STRIDE - 1);
}

/* EACCEPT, unless it has been done. Another thread may have met the same fault, and been first. */
static void accept_once(uint64_t base, uint64_t page)
{
    uint64_t number = (page - base) / SGX_PAGE_SIZE, bit = 1UL << number % WORD_BITS;
    uint64_t *word = (uint64_t *)(base + ACCEPTED_MAP_OFFSET) + number / WORD_BITS;
    struct secinfo secinfo = {.flags = SECINFO_R | SECINFO_W | SECINFO_TYPE_REG | SECINFO_PENDING};
    if (*word & bit)
        return;
    enclu_of_page(ENCLU_EACCEPT, &secinfo, page);
    *word |= bit;
}

static void permit_execution(uint64_t page)
{
    struct secinfo secinfo = {.flags = SECINFO_R | SECINFO_W | SECINFO_X | SECINFO_TYPE_REG};
    enclu_of_page(ENCLU_EMODPE, &secinfo, page);
}

int accept_page(const struct thread *self, uint64_t address, uint64_t error)
{
    uint64_t page = address & ~(uint64_t)(SGX_PAGE_SIZE - 1), base = compartment_base((uint64_t)self);
    uint64_t offset = page - base;
    struct compartment *compartment = compartment_at(base);
    if (!(error & PAGE_FAULT_EPCM) || compartment_base(address) != base)
        return 0;
    /* Below, all pages were added with the enclave. What lies between them are guards. */
    if (offset < VMAS_OFFSET || (error & PAGE_FAULT_FETCH && offset < TRAMPOLINES_OFFSET))
        return 0;
    /* Two at one page at the same time are an error to the CPU. This is no place to wait: the fault comes again. */
    if (!spin_trylock(&compartment->accept_lock))
        return 1;
    accept_once(base, page);
    if (error & PAGE_FAULT_FETCH)
        permit_execution(page);
    spin_unlock(&compartment->accept_lock);
    return 1;
}
