/* SPDX-License-Identifier: Apache-2.0 */
/* Set the model up: per process, per thread, and for the TCSs of a process that died. */
#include <linux/errno.h>
#include <linux/prctl.h>

#include "../cpu_table.h"
#include "../log.h"
#include "../string.h"
#include "../syscall.h"
#include "model.h"

/* Newer than the headers that this may be built with */
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define PR_SYS_DISPATCH_ON 1
#define ARCH_SET_CPUID 0x1012

#define CPUID_FEATURES 7
#define FSGSBASE (1 << 0)
#define CPUID_XSAVE 0xd
#define RFLAGS_FIXED 0x202

int model_enter_enclave(unsigned long rdi, unsigned long rsi, unsigned long rdx, unsigned int function,
                        unsigned long r8, unsigned long r9, struct sgx_enclave_run *run);

vdso_sgx_enter_enclave_t sgx_enter_enclave;
uint64_t sgx_enclu_address;

static struct {
    uint64_t base, size, xfrm;
} enclave;

static uint64_t supported_xfrm(void)
{
    struct cpuid leaf = cpu_leaf(CPUID_XSAVE, 0);

    return (uint64_t)leaf.edx << 32 | leaf.eax;
}

void sgx_platform_start(const struct lease_grant *grant, uint64_t vdso)
{
    uint64_t missing = grant->xfrm & ~supported_xfrm();

    (void)vdso;
    if (!(grant->flags & LEASE_SOFTWARE_MODEL))
        die("the lease is for SGX hardware but this mate was built with the software model: "
            "build the mate with SGX=hardware, or use a pool of the software model");
    if (!(cpu_leaf(CPUID_FEATURES, 0).ebx & FSGSBASE))
        die("this CPU or kernel lacks FSGSBASE, which the software model of SGX needs: use Linux 5.9 or newer, "
            "without the boot option nofsgsbase");
    if (missing)
        die("pool %s wants CPU features (XFRM bits %lx) that this CPU lacks: use a pool with a smaller XFRM",
            grant->pool, missing);
    xstate_start(grant->xfrm);
    sgx_enter_enclave = model_enter_enclave;
    sgx_enclu_address = (uint64_t)model_enclu;
    enclave.base = grant->enclave_base;
    enclave.size = grant->enclave_size;
    enclave.xfrm = grant->xfrm;
    model_signals_start();
}

static long cpuid_fault(int enable)
{
    return syscall2(__NR_arch_prctl, ARCH_SET_CPUID, !enable);
}

void sgx_thread_start(struct sgx_thread *thread)
{
    struct cpu *cpu = (struct cpu *)thread;
    long result;

    cpu->self = cpu;
    cpu->aep = (uint64_t)model_enclu;
    cpu->enclave_base = enclave.base;
    cpu->enclave_size = enclave.size;
    cpu->xfrm = enclave.xfrm;
    cpu->selector = OUTSIDE_ENCLAVE;
    __asm__ volatile("rdfsbase %0" : "=r"(cpu->host_fsbase));
    __asm__ volatile("wrgsbase %0" ::"r"(cpu));
    /* The mate's own calls are let through by their address: the kernel need not look at the selector */
    result = syscall5(__NR_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, MATE_TEXT, ENCLAVE_BASE - MATE_TEXT,
                      &cpu->selector);
    if (result)
        die("this kernel has no Syscall User Dispatch (error %d), which the software model of SGX needs: "
            "use Linux 5.11 or newer, and allow prctl in the container's seccomp profile",
            (int)-result);
    /* In an enclave CPUID is illegal. Where the CPU cannot make it fault it just executes: nothing depends on it. */
    cpu->cpuid_faults = cpuid_fault(1) == 0;
}

struct cpuid sgx_cpuid(const struct sgx_thread *thread, uint32_t leaf, uint32_t subleaf)
{
    const struct cpu *cpu = (const struct cpu *)thread;
    struct cpuid answer;

    if (cpu->cpuid_faults)
        cpuid_fault(0);
    answer = cpu_identify(leaf, subleaf);
    if (cpu->cpuid_faults)
        cpuid_fault(1);
    return answer;
}

/*
 * On hardware a thread that is killed in the enclave leaves by an AEX. Here it just stops, so the AEX is made up:
 * ECALL_RESET and ECALL_VFORK_DIED replace what SSA[0] holds anyway. A frame above the first is dropped for the same
 * reason.
 */
void sgx_thread_died(uint64_t address)
{
    struct sgx_tcs *tcs = (struct sgx_tcs *)address;
    struct sgx_gprs *gprs = ssa_gprs(enclave.base + tcs->ossa);

    if (!tcs->state && !tcs->cssa)
        return;
    if (!tcs->cssa) {
        memset((void *)(enclave.base + tcs->ossa), 0, SSA_FRAME_SIZE);
        gprs->rflags = RFLAGS_FIXED;
        gprs->fsbase = enclave.base + tcs->ofsbase;
        gprs->gsbase = enclave.base + tcs->ogsbase;
    }
    tcs->cssa = 1;
    tcs->state = 0;
}

long sgx_recover_tcs(uint64_t address)
{
    sgx_thread_died(address);
    return ((struct sgx_tcs *)address)->cssa != 0;
}
