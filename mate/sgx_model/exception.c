/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processor exception was behind a signal? The kernel leaves vector and error code in the signal frame,
 * but they are stale when the signal came from kill(2): only si_code tells the two apart.
 */
#include <asm/signal.h>

#include "model.h"

#define SYS_USER_DISPATCH_CODE 2
#define VECTOR_SS 12
#define SYSCALL_SIZE 2
#define INT3_SIZE 1

/* CPUID under ARCH_SET_CPUID raises #GP; in an enclave it is an illegal instruction. */
static int is_cpuid(uint64_t rip)
{
    const uint8_t *code = (const uint8_t *)rip;

    return code[0] == 0x0f && code[1] == 0xa2;
}

static int raised_by_instruction(int signal, const siginfo_t *info)
{
    if (info->si_code <= 0)
        return 0;
    switch (signal) {
    case SIGSYS:
        return info->si_code == SYS_USER_DISPATCH_CODE;
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP:
        return 1;
    default:
        return 0;
    }
}

int exception_decode(int signal, const siginfo_t *info, const struct sigcontext *context, struct exception *out)
{
    if (!raised_by_instruction(signal, info))
        return 0;
    out->address = 0;
    out->error_code = context->err;
    if (signal == SIGSYS) {
        out->vector = VECTOR_UD;
        out->error_code = 0;
        return 1;
    }
    out->vector = context->trapno;
    if (out->vector == VECTOR_PF)
        out->address = context->cr2;
    /* SGX does not report #SS (a stack access to a non-canonical address): its nearest kin is #GP */
    if (out->vector == VECTOR_SS)
        out->vector = VECTOR_GP;
    if (out->vector == VECTOR_GP && is_cpuid(context->rip)) {
        out->vector = VECTOR_UD;
        out->error_code = 0;
    }
    return 1;
}

void exception_adjust_rip(int signal, const struct exception *exception, struct sigcontext *context)
{
    /* SYSCALL is illegal in an enclave: a fault, whereas User Dispatch traps behind it (RCX, R11 are clobbered). */
    if (signal == SIGSYS)
        context->rip -= SYSCALL_SIZE;
    /* INT3 of an enclave that is not being debugged is a fault, too */
    if (exception->vector == VECTOR_BP)
        context->rip -= INT3_SIZE;
}
