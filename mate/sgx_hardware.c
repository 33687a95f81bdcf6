/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The platform on a CPU with SGX: the kernel's vDSO does it all. Our tests have no such CPU; they run this where the
 * kernel module emulates ENCLU.
 */
#include <asm/signal.h>
#include <linux/errno.h>

#include "log.h"
#include "sgx_platform.h"
#include "signal.h"
#include "syscall.h"
#include "vdso.h"

#define ENCLU_OPCODE_SIZE 3
#define FUNCTION_SIZE_MAX 256

vdso_sgx_enter_enclave_t sgx_enter_enclave;
uint64_t sgx_enclu_address;

/* The function has one ENCLU, which is EENTER and the AEP (arch/x86/entry/vdso/vsgx.S). */
static uint64_t find_enclu(const uint8_t *function)
{
    for (int i = 0; i < FUNCTION_SIZE_MAX - ENCLU_OPCODE_SIZE; i++)
        if (function[i] == 0x0f && function[i + 1] == 0x01 && function[i + 2] == 0xd7)
            return (uint64_t)(function + i);
    return 0;
}

void sgx_platform_start(const struct lease_grant *grant, uint64_t vdso)
{
    uint64_t function = vdso_find(vdso, "__vdso_sgx_enter_enclave");

    if (grant->flags & LEASE_SOFTWARE_MODEL)
        die("the lease is of the software model but this mate was built for SGX hardware: build the mate with "
            "SGX=model, or "
            "use a pool on SGX hardware");
    if (!function)
        die("this kernel has no SGX (its vDSO lacks __vdso_sgx_enter_enclave): use Linux 5.11 or newer on a CPU with "
            "SGX");
    sgx_enclu_address = find_enclu((const uint8_t *)function);
    if (!sgx_enclu_address)
        die("the vDSO's __vdso_sgx_enter_enclave has no ENCLU where it is expected: this kernel is not supported");
    sgx_enter_enclave = (vdso_sgx_enter_enclave_t)function;
}

void sgx_thread_start(struct sgx_thread *thread)
{
    (void)thread;
}

struct cpuid sgx_cpuid(const struct sgx_thread *thread, uint32_t leaf, uint32_t subleaf)
{
    (void)thread;
    return cpu_identify(leaf, subleaf);
}

long sgx_sigaction(int signal, signal_handler handler, uint64_t flags)
{
    struct kernel_sigaction action = {
        .handler = (void *)handler,
        .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTORER | flags,
        .restorer = signal_restorer,
        .mask = ~0UL,
    };

    return sys_rt_sigaction(signal, &action, NULL);
}

uint64_t sgx_ignored_signals(void)
{
    return 0;
}

void sgx_thread_died(uint64_t tcs)
{
    (void)tcs;
}

/*
 * Neither CSSA nor the busy state of a TCS can be read on hardware, and a thread killed at CSSA = 1 leaves no frame for
 * ECALL_RESET. Until the LibOS can tell a reset of an idle TCS from an exception, a compartment is retired instead.
 */
long sgx_recover_tcs(uint64_t tcs)
{
    (void)tcs;
    return -EOPNOTSUPP;
}
