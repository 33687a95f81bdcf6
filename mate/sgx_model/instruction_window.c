/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENCLU made atomic: what a signal handler finds between the model's own instructions is undone or completed.
 *
 *   interrupted at                   becomes
 *   EENTER, ERESUME (enter.S)        the ENCLU, not yet executed; nothing taken, host mode
 *   EEXIT (gate.S)                   executed: at the exit target, TCS idle, host mode
 *   another leaf, before its effect  the ENCLU in the enclave, not yet executed
 *   another leaf, after its effect   the instruction after it, in the enclave
 */
#include "model.h"

#define FLAG_ZF 0x40
#define CALL_SIZE 5

static int within(uint64_t address, const char *start, const char *end)
{
    return address >= (uint64_t)start && address < (uint64_t)end;
}

void model_leave(struct cpu *cpu)
{
    __asm__ volatile("wrfsbase %0" ::"r"(cpu->host_fsbase));
    __asm__ volatile("wrgsbase %0" ::"r"(cpu));
    cpu->selector = OUTSIDE_ENCLAVE;
}

static void release(struct cpu *cpu)
{
    __atomic_store_n(&cpu->tcs->state, 0, __ATOMIC_RELEASE);
}

static void rewind_enclu(struct cpu *cpu, struct sigcontext *context, uint32_t leaf)
{
    /* the TCS can be busy with somebody else, then it was not taken here */
    if (cpu->tcs->state == (uint64_t)cpu)
        release(cpu);
    context->rip = (uint64_t)model_enclu;
    context->rax = leaf;
    context->rbx = (uint64_t)cpu->tcs;
    context->rcx = cpu->aep;
    model_leave(cpu);
}

static void rewind_before_taken(struct cpu *cpu, struct sigcontext *context, uint32_t leaf)
{
    /* nothing has happened yet and RBX, GS and FS are the caller's */
    context->rip = (uint64_t)model_enclu;
    context->rax = leaf;
    context->rcx = cpu->aep;
}

static void complete_eexit(struct cpu *cpu, struct sigcontext *context)
{
    context->rsp += sizeof(uint64_t);
    context->rip = context->rbx;
    context->rcx = cpu->aep;
    release(cpu);
    model_leave(cpu);
}

static void finish_other_leaf(struct sigcontext *context)
{
    uint64_t after = *(uint64_t *)context->rsp;

    context->rsp += sizeof(uint64_t);
    if (context->rip > model_gate_labels.no_op) {
        context->rip = after;
        context->rax = 0;
        context->eflags &= ~(uint64_t)FLAG_ZF;
    } else {
        context->rip = after - CALL_SIZE;
    }
}

enum window window_close(struct cpu *cpu, struct sigcontext *context)
{
    uint64_t rip = context->rip;

    if (within(rip, model_enclu, model_enclu_next)) {
        context->rip = (uint64_t)model_enclu;
        return WINDOW_ENCLU;
    }
    if (within(rip, model_eenter, model_eenter_taken)) {
        rewind_before_taken(cpu, context, ENCLU_EENTER);
        return WINDOW_ENCLU;
    }
    if (within(rip, model_eenter_taken, model_eenter_end)) {
        rewind_enclu(cpu, context, ENCLU_EENTER);
        return WINDOW_ENCLU;
    }
    if (within(rip, model_eresume, model_eresume_taken)) {
        rewind_before_taken(cpu, context, ENCLU_ERESUME);
        return WINDOW_ENCLU;
    }
    if (within(rip, model_eresume_taken, model_eresume_loading)) {
        rewind_enclu(cpu, context, ENCLU_ERESUME);
        return WINDOW_ENCLU;
    }
    if (within(rip, model_eresume_loading, model_eresume_end)) {
        cpu->tcs->cssa = cpu->cssa;
        context->rsp = cpu->host_rsp;
        context->rbp = cpu->host_rbp;
        rewind_enclu(cpu, context, ENCLU_ERESUME);
        return WINDOW_ENCLU;
    }
    if (rip >= model_gate_labels.start && rip < model_gate_labels.end) {
        if (rip < model_gate_labels.exit_end && (uint32_t)context->rax == ENCLU_EEXIT) {
            complete_eexit(cpu, context);
            return WINDOW_EEXIT;
        }
        finish_other_leaf(context);
        return WINDOW_LEAF;
    }
    return WINDOW_NONE;
}
