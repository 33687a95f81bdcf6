// SPDX-License-Identifier: Apache-2.0
/*
 * Runs the LibOS's answer to EPCM page faults with a CPU of its own: which pages it accepts, and how often.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accept.h"
#include "compartment.h"
#include "include/sgx_arch.h"
#include "require.h"
#include "thread.h"

#define BASE COMPARTMENT_BASE(0)
#define WRITE_OF_PENDING 0x8007
#define FETCH 0x8015
#define NOT_OF_EPCM 0x7

static unsigned int accepted, extended;
static uint64_t last_page;

uint64_t enclu_of_page(uint32_t leaf, const void *secinfo, uint64_t page)
{
    (void)secinfo;
    accepted += leaf == ENCLU_EACCEPT;
    extended += leaf == ENCLU_EMODPE;
    last_page = page;
    return 0;
}

/* What the faulting instruction is to do: 1: be tried again. And what has become of the page since */
static int fault(const struct thread *self, uint64_t address, uint64_t error)
{
    accepted = extended = 0;
    return accept_page(self, address, error);
}

int main(void)
{
    struct thread *self = (struct thread *)(THREAD_BLOCK(BASE, 0) + THREAD_TCB);
    const uint64_t page = BASE + APP_OFFSET + 5 * PAGE_SIZE, code = page + 9 * PAGE_SIZE;

    REQUIRE(mmap((void *)BASE, VMAS_OFFSET, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == (void *)BASE);
    self->self = self;
    REQUIRE(!syscall(SYS_arch_prctl, ARCH_SET_GS, self));

    REQUIRE(fault(self, page + 77, WRITE_OF_PENDING) && accepted == 1 && !extended && last_page == page);
    /* Pending once more: the host has removed it, with what was in it, and added another */
    REQUIRE(fault(self, page, WRITE_OF_PENDING) && !accepted);
    REQUIRE(fault(self, page, FETCH) && !accepted && extended == 1);
    REQUIRE(fault(self, page + PAGE_SIZE, WRITE_OF_PENDING) && accepted == 1);
    REQUIRE(fault(self, page - PAGE_SIZE, WRITE_OF_PENDING) && accepted == 1);
    REQUIRE(fault(self, code, FETCH) && accepted == 1 && extended == 1);
    REQUIRE(fault(self, BASE + COMPARTMENT_STRIDE - 1, WRITE_OF_PENDING) && accepted == 1);
    REQUIRE(fault(self, BASE + VMAS_OFFSET, WRITE_OF_PENDING) && accepted == 1);

    /* What is not ours to accept */
    REQUIRE(!fault(self, page + 2 * PAGE_SIZE, NOT_OF_EPCM) && !accepted);
    REQUIRE(!fault(self, BASE - 1, WRITE_OF_PENDING) && !fault(self, BASE + COMPARTMENT_STRIDE, WRITE_OF_PENDING));
    REQUIRE(!fault(self, THREAD_BLOCK(BASE, 0) + THREAD_STACK - 1, WRITE_OF_PENDING) && !accepted); /* a guard */
    REQUIRE(!fault(self, BASE + HEADER_OFFSET, WRITE_OF_PENDING) && !accepted);
    REQUIRE(!fault(self, BASE + LIBOS_HEAP_OFFSET, FETCH) && !accepted && !extended);

    /* Another thread is at it */
    compartment_at(BASE)->accept_lock.holder = 1;
    REQUIRE(fault(self, page + 3 * PAGE_SIZE, WRITE_OF_PENDING) && !accepted);
    compartment_at(BASE)->accept_lock.holder = 0;
    REQUIRE(fault(self, page + 3 * PAGE_SIZE, WRITE_OF_PENDING) && accepted == 1);
    return 0;
}
