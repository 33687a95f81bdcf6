/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EACCEPT takes a page once: the CPU has made it zero, and the host cannot put another in its place. So it is safe
 * to accept whatever the thread's own compartment has no page for yet. What it may be used for is the LibOS's table's
 * decision; to the CPU all of the program's memory may be executed, as when it is added beforehand.
 */
#include "accept.h"

#include "include/layout.h"
#include "include/sgx_arch.h"
#include "thread.h"

#define PAGE_FAULT_FETCH 0x10
#define PAGE_FAULT_EPCM 0x8000

struct secinfo {
    uint64_t flags;
    uint64_t reserved[7];
} __attribute__((aligned(64)));

static uint64_t compartment_number(uint64_t address)
{
    return (address - ENCLAVE_BASE) / COMPARTMENT_STRIDE;
}

int accept_page(const struct thread *self, uint64_t address, uint64_t error)
{
    uint64_t page = address & ~(uint64_t)(SGX_PAGE_SIZE - 1);
    struct secinfo secinfo = {.flags = SECINFO_R | SECINFO_W | SECINFO_TYPE_REG | SECINFO_PENDING};
    if (!(error & PAGE_FAULT_EPCM) || compartment_number(address) != compartment_number((uint64_t)self))
        return 0;
    if (!enclu_of_page(ENCLU_EACCEPT, &secinfo, page))
        return 1;
    if (!(error & PAGE_FAULT_FETCH) || (address - ENCLAVE_BASE) % COMPARTMENT_STRIDE < TRAMPOLINES_OFFSET)
        return 0;
    secinfo.flags = SECINFO_R | SECINFO_W | SECINFO_X | SECINFO_TYPE_REG;
    enclu_of_page(ENCLU_EMODPE, &secinfo, page);
    return 1;
}
