/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs ENCLU. The same contract has two implementations, chosen when the mate is built: sgx_hardware.c
 * (the kernel's vDSO and a CPU with SGX) and sgx_model/ (software). Nothing else in the mate differs.
 */
#ifndef TEEMATE_SGX_PLATFORM_H
#define TEEMATE_SGX_PLATFORM_H

#define SGX_THREAD_SIZE 512

#ifndef __ASSEMBLER__
#include <asm/sgx.h>
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <asm/ucontext.h>
#include <stdint.h>

#include "cpu.h"
#include "lease.h"

/* Per host thread, at the start of its block (thread.h); private to the platform. */
struct sgx_thread {
    uint64_t words[SGX_THREAD_SIZE / 8];
};

typedef void (*signal_handler)(int signal, siginfo_t *info, struct ucontext *context);
/* SIG_DFL and SIG_IGN */
#define HANDLER_DEFAULT ((signal_handler)0)
#define HANDLER_IGNORE ((signal_handler)1)

/* Behaves as vdso_sgx_enter_enclave_t of asm/sgx.h: callee-saved registers other than RBX, RBP are not kept. */
extern vdso_sgx_enter_enclave_t sgx_enter_enclave;
/* The ENCLU instruction in it, which is also the AEP: from its start up to here the enclave was not yet entered. */
extern uint64_t sgx_enclu_address;

/* Once, before any thread. Dies with a message when this machine cannot run the grant's enclave. */
void sgx_platform_start(const struct lease_grant *grant, uint64_t vdso);
/* On each host thread, and again in a forked child. */
void sgx_thread_start(struct sgx_thread *thread);

/* CPUID, which may be made to fault on a thread that has been started. */
struct cpuid sgx_cpuid(const struct sgx_thread *thread, uint32_t leaf, uint32_t subleaf);

/*
 * rt_sigaction for everyone but the platform. The handler runs on the alternate stack with all signals
 * blocked and the host's FS and GS.
 */
long sgx_sigaction(int signal, signal_handler handler, uint64_t flags);

/* Of the signals that the platform catches for itself, those that were ignored before: bit n-1 for signal n. */
uint64_t sgx_ignored_signals(void);

/*
 * A thread of another process may have been killed on this TCS, which on hardware makes it leave by an AEX. Afterwards
 * an EENTER finds CSSA as that left it.
 */
void sgx_thread_died(uint64_t tcs);

/*
 * Make a TCS whose process died enterable with ECALL_RESET. Returns 1 if it must be reset that way, 0 if it
 * was idle, or -errno if it cannot be recovered.
 */
long sgx_recover_tcs(uint64_t tcs);
#endif
#endif
