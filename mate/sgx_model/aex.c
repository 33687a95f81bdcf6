/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous enclave exit (SDM vol. 3D, 37.4): the interrupted state goes to the SSA, a synthetic one replaces it. */
#include "model.h"

/* RFLAGS after an AEX: arithmetic flags clear, interrupts on */
#define SYNTHETIC_FLAGS 0x202

static uint32_t exitinfo(const struct exception *exception)
{
    uint32_t type = exception->vector == VECTOR_BP ? EXITINFO_TYPE_SOFTWARE : EXITINFO_TYPE_HARDWARE;

    return EXITINFO_VALID | type | exception->vector;
}

static void save_registers(struct sgx_gprs *gprs, const struct sigcontext *context)
{
    gprs->rax = context->rax;
    gprs->rcx = context->rcx;
    gprs->rdx = context->rdx;
    gprs->rbx = context->rbx;
    gprs->rsp = context->rsp;
    gprs->rbp = context->rbp;
    gprs->rsi = context->rsi;
    gprs->rdi = context->rdi;
    gprs->r8 = context->r8;
    gprs->r9 = context->r9;
    gprs->r10 = context->r10;
    gprs->r11 = context->r11;
    gprs->r12 = context->r12;
    gprs->r13 = context->r13;
    gprs->r14 = context->r14;
    gprs->r15 = context->r15;
    gprs->rflags = context->eflags;
    gprs->rip = context->rip;
    __asm__ volatile("rdfsbase %0" : "=r"(gprs->fsbase));
    __asm__ volatile("rdgsbase %0" : "=r"(gprs->gsbase));
}

static void load_synthetic_state(const struct cpu *cpu, const struct sgx_gprs *gprs, struct sigcontext *context)
{
    context->rax = ENCLU_ERESUME;
    context->rbx = (uint64_t)cpu->tcs;
    context->rcx = cpu->tcs->aep;
    context->rip = cpu->tcs->aep;
    context->rsp = gprs->ursp;
    context->rbp = gprs->urbp;
    context->rdx = context->rsi = context->rdi = 0;
    context->r8 = context->r9 = context->r10 = context->r11 = 0;
    context->r12 = context->r13 = context->r14 = context->r15 = 0;
    context->eflags = SYNTHETIC_FLAGS;
}

void model_aex(struct cpu *cpu, struct sigcontext *context, const struct exception *exception)
{
    uint64_t frame = ssa_frame(cpu, cpu->tcs->cssa);
    struct sgx_gprs *gprs = ssa_gprs(frame);
    struct sgx_exinfo *exinfo = (struct sgx_exinfo *)gprs - 1;

    xstate_save(cpu->xfrm, (void *)frame, context->fpstate);
    save_registers(gprs, context);
    gprs->exitinfo = exception ? exitinfo(exception) : 0;
    if (exception && (exception->vector == VECTOR_PF || exception->vector == VECTOR_GP)) {
        exinfo->maddr = exception->address;
        exinfo->errcd = exception->error_code;
        exinfo->reserved = 0;
    }
    load_synthetic_state(cpu, gprs, context);
    /* Killed between these two, the TCS looks busy with one frame more: sgx_recover_tcs copes with both */
    cpu->tcs->cssa++;
    __atomic_store_n(&cpu->tcs->state, 0, __ATOMIC_RELEASE);
    model_leave(cpu);
}
