/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that the host adds while the enclave runs (EAUG): they are of no use before the enclave accepts them. */
#ifndef TEEMATE_ACCEPT_H
#define TEEMATE_ACCEPT_H
#include <stdint.h>

struct thread;

/*
 * A page fault that the CPU's own page table (EPCM) raised: take the page in, or let it be executed. Returns 1 if the
 * instruction is to be tried again. Needs no memory but the stack that it runs on.
 */
int accept_page(const struct thread *self, uint64_t address, uint64_t error);

/* EACCEPT or EMODPE of the page with this SECINFO. RAX: 0, or why not */
uint64_t enclu_of_page(uint32_t leaf, const void *secinfo, uint64_t page);

/*
 * Is ENCLU the CPU's? The software model has put calls where its instructions were; on a CPU with SGX nobody could
 * have done that. So this is no word of the host's.
 */
int enclu_is_real(void);
#endif
