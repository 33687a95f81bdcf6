/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame lies in the program's memory, so the program may have changed it: sigreturn takes any register
 * values (they are the program's own), but nothing that would fault in the LibOS.
 */
#include "signal_frame.h"

#include "extended_state.h"
#include "string.h"
#include "usercopy.h"

#define EFAULT 14
#define EINVAL 22
#define ENOMEM 12
#define EPERM 1

#define RED_ZONE 128
#define MINSIGSTKSZ 2048
#define FP_XSTATE_MAGIC1 0x46505853u
#define FP_XSTATE_MAGIC2 0x46505845u
#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4
#define USER_CS 0x33
#define USER_SS 0x2b
#define RFLAGS_RESTORED 0x40cd5UL /* AC, OF, DF, SF, ZF, AF, PF, CF */
#define RFLAGS_ALWAYS 0x202UL
#define RFLAGS_TF 0x100UL
#define MXCSR_DEFINED 0xffff

struct software_state { /* struct _fpx_sw_bytes, in extended_state.software */
    uint32_t magic1, extended_size;
    uint64_t xfrm;
    uint32_t xstate_size;
    uint32_t padding[7];
};
_Static_assert(sizeof(struct software_state) == 48, "_fpx_sw_bytes");

struct machine_context { /* struct sigcontext_64 */
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t error, vector, old_mask, fault_address;
    uint64_t extended_state;
    uint64_t reserved[8];
};

struct signal_frame {
    uint64_t restorer;
    uint64_t flags, link; /* ucontext_t from here */
    struct signal_stack stack;
    struct machine_context context;
    uint64_t mask;
    struct signal_info info;
};
_Static_assert(sizeof(struct machine_context) == 256, "sigcontext_64");
_Static_assert(sizeof(struct signal_frame) == 440, "rt_sigframe");

int signal_on_altstack(const struct thread *self, uint64_t rsp)
{
    if (self->altstack_flags & SS_AUTODISARM)
        return 0;
    return self->altstack_size && rsp > self->altstack_base && rsp - self->altstack_base <= self->altstack_size;
}

struct signal_stack signal_stack_of(const struct thread *self, uint64_t rsp)
{
    uint32_t state = self->altstack_size == 0 ? SS_DISABLE : signal_on_altstack(self, rsp) ? SS_ONSTACK : 0;
    return (struct signal_stack){
        .base = self->altstack_base,
        .flags = state | (self->altstack_flags & SS_AUTODISARM),
        .size = self->altstack_size,
    };
}

long signal_stack_set(struct thread *self, uint64_t rsp, const struct signal_stack *stack)
{
    uint32_t mode = stack->flags & ~SS_AUTODISARM;
    if (signal_on_altstack(self, rsp))
        return -EPERM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode != SS_DISABLE && stack->size < MINSIGSTKSZ)
        return -ENOMEM;
    self->altstack_base = mode == SS_DISABLE ? 0 : stack->base;
    self->altstack_size = mode == SS_DISABLE ? 0 : stack->size;
    self->altstack_flags = stack->flags;
    return 0;
}

/* Extended state and its magic words to the stack below `sp`. The address, or 0. */
static uint64_t push_extended_state(struct thread *self, uint64_t sp)
{
    struct extended_state *area = thread_extended_state(self);
    uint64_t size = extended_state_size(self->xfrm);
    uint64_t address = (sp - size - sizeof(uint32_t)) & ~63UL;
    uint32_t magic2 = FP_XSTATE_MAGIC2;

    extended_state_save(area, self->xfrm);
    *(struct software_state *)area->software = (struct software_state){
        .magic1 = FP_XSTATE_MAGIC1,
        .extended_size = size + sizeof(magic2),
        .xfrm = self->xfrm,
        .xstate_size = size,
    };
    if (copy_to_program((void *)address, area, size) ||
        copy_to_program((void *)(address + size), &magic2, sizeof(magic2)))
        return 0;
    return address;
}

static struct machine_context context_of(const struct thread *self, const struct registers *r)
{
    return (struct machine_context){
        .r8 = r->r8,
        .r9 = r->r9,
        .r10 = r->r10,
        .r11 = r->r11,
        .r12 = r->r12,
        .r13 = r->r13,
        .r14 = r->r14,
        .r15 = r->r15,
        .rdi = r->rdi,
        .rsi = r->rsi,
        .rbp = r->rbp,
        .rbx = r->rbx,
        .rdx = r->rdx,
        .rax = r->rax,
        .rcx = r->rcx,
        .rsp = r->rsp,
        .rip = r->rip,
        .rflags = r->rflags | RFLAGS_ALWAYS,
        .cs = USER_CS,
        .ss = USER_SS,
        .error = self->fault.error,
        .vector = self->fault.vector,
        .fault_address = self->fault.address,
    };
}

long signal_frame_push(struct thread *self, struct registers *registers, const struct signal_action *action,
                       const struct signal_info *info, uint64_t saved_mask)
{
    if (!(action->flags & SA_RESTORER))
        return -EFAULT; /* as Linux on x86-64 */

    int nested = signal_on_altstack(self, registers->rsp);
    uint64_t sp = registers->rsp - RED_ZONE;
    if (action->flags & SA_ONSTACK && self->altstack_size && !nested) {
        sp = self->altstack_base + self->altstack_size;
    }
    struct signal_frame frame = {
        .restorer = action->restorer,
        .flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        .stack = signal_stack_of(self, registers->rsp),
        .context = context_of(self, registers),
        .mask = saved_mask,
        .info = *info,
    };
    frame.context.old_mask = saved_mask;
    frame.context.extended_state = push_extended_state(self, sp);
    if (!frame.context.extended_state)
        return -EFAULT;
    uint64_t address = ((frame.context.extended_state - sizeof(frame)) & ~15UL) - 8;
    if (nested && !signal_on_altstack(self, address))
        return -EFAULT; /* the alternate stack has overflown */
    if (copy_to_program((void *)address, &frame, sizeof(frame)))
        return -EFAULT;
    if (self->altstack_flags & SS_AUTODISARM)
        self->altstack_base = self->altstack_size = self->altstack_flags = 0;

    registers->rip = action->handler;
    registers->rsp = address;
    registers->rax = 0;
    registers->rdi = (uint32_t)info->signal;
    registers->rsi = address + offsetof(struct signal_frame, info);
    registers->rdx = address + offsetof(struct signal_frame, flags);
    registers->rflags &= ~(RFLAGS_DF | RFLAGS_TF);
    return 0;
}

/* A NULL pointer means initial state; without the magic words only x87 and SSE are there. */
static long pop_extended_state(struct thread *self, uint64_t address)
{
    struct extended_state *area = thread_extended_state(self);
    const struct software_state *software = (const struct software_state *)area->software;
    uint64_t size = extended_state_size(self->xfrm);
    uint32_t magic2;

    memset(area, 0, size);
    area->mxcsr = 0x1f80;
    if (address) {
        if (copy_from_program(area, (const void *)address, offsetof(struct extended_state, xstate_bv)))
            return -EFAULT;
        if (software->magic1 == FP_XSTATE_MAGIC1 && software->xstate_size == size &&
            !copy_from_program(&magic2, (const void *)(address + size), sizeof(magic2)) && magic2 == FP_XSTATE_MAGIC2) {
            uint64_t header = offsetof(struct extended_state, xstate_bv);
            if (copy_from_program((char *)area + header, (const char *)address + header, size - header))
                return -EFAULT;
        } else {
            area->xstate_bv = XFRM_X87_SSE;
        }
    }
    area->xstate_bv &= self->xfrm;
    area->xcomp_bv = 0;
    memset(area->reserved, 0, sizeof(area->reserved));
    area->mxcsr &= MXCSR_DEFINED;
    extended_state_restore(area, self->xfrm);
    return 0;
}

long signal_frame_pop(struct thread *self, struct registers *registers, uint64_t *mask)
{
    struct signal_frame frame;
    uint64_t address = registers->rsp - sizeof(frame.restorer); /* the handler's RET has taken it */
    const struct machine_context *c = &frame.context;

    if (copy_from_program(&frame, (const void *)address, sizeof(frame)) || pop_extended_state(self, c->extended_state))
        return -EFAULT;
    *registers = (struct registers){
        .r8 = c->r8,
        .r9 = c->r9,
        .r10 = c->r10,
        .r11 = c->r11,
        .r12 = c->r12,
        .r13 = c->r13,
        .r14 = c->r14,
        .r15 = c->r15,
        .rdi = c->rdi,
        .rsi = c->rsi,
        .rbp = c->rbp,
        .rbx = c->rbx,
        .rdx = c->rdx,
        .rax = c->rax,
        .rcx = c->rcx,
        .rsp = c->rsp,
        .rip = c->rip,
        .rflags = (c->rflags & RFLAGS_RESTORED) | RFLAGS_ALWAYS,
    };
    *mask = frame.mask;
    signal_stack_set(self, registers->rsp, &frame.stack); /* as Linux: errors do not matter here */
    return 0;
}
