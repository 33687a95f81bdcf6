/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions of the program, at CSSA = 0 on the LibOS stack: instructions that an enclave cannot execute
 * are served, everything else becomes the signal that Linux would send.
 */
#include "enter.h"
#include "include/sgx_arch.h"
#include "syscall.h"

enum { SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGSEGV = 11 };

/* si_code */
enum {
    SI_KERNEL = 0x80,
    ILL_ILLOPN = 2,
    TRAP_TRACE = 2,
    BUS_ADRALN = 1,
    BUS_ADRERR = 2,
    SEGV_MAPERR = 1,
    SEGV_ACCERR = 2,
    FPE_INTDIV = 1,
    FPE_FLTDIV = 3,
    FPE_FLTOVF = 4,
    FPE_FLTUND = 5,
    FPE_FLTRES = 6,
    FPE_FLTINV = 7,
};

#define PAGE_FAULT_WRITE 2
#define PAGE_FAULT_FETCH 16
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4

#define OPCODE_SYSCALL 0x050f
#define OPCODE_CPUID 0xa20f
#define OPCODE_JUMP 0xe9

/* Unmasked and raised exception flags, the same bits in the x87 status word and in MXCSR */
static int float_code(uint32_t flags)
{
    if (flags & 0x01)
        return FPE_FLTINV;
    if (flags & 0x04)
        return FPE_FLTDIV;
    if (flags & 0x08)
        return FPE_FLTOVF;
    if (flags & (0x10 | 0x02)) /* underflow, denormal */
        return FPE_FLTUND;
    return FPE_FLTRES;
}

static int x87_code(void)
{
    uint16_t status, control;
    __asm__ volatile("fnstsw %0" : "=m"(status));
    __asm__ volatile("fnstcw %0" : "=m"(control));
    return float_code(status & ~control);
}

static int sse_code(void)
{
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return float_code(mxcsr & ~(mxcsr >> 7));
}

/* A fault that a repair did not mend comes again at once, from the same instruction. */
static int is_repairable(struct thread *self, const struct registers *frame, uint64_t address, uint32_t wanted)
{
    uint32_t vfork_count = self->compartment->vfork_count;
    if (self->repaired_rip == frame->rip && self->repaired_address == address && self->repaired_after == vfork_count)
        return 0;
    if (!memory_repair(self->compartment, address, 1, wanted))
        return 0;
    self->repaired_rip = frame->rip;
    self->repaired_address = address;
    self->repaired_after = vfork_count;
    return 1;
}

static void page_fault(struct thread *self, struct registers *frame, uint64_t error, uint64_t address)
{
    struct vma vma;
    if (memory_find(self->compartment, address, &vma)) {
        signal_fault(self, frame, SIGSEGV, SEGV_MAPERR, address);
        return;
    }
    uint32_t wanted = error & PAGE_FAULT_WRITE ? PROT_WRITE : error & PAGE_FAULT_FETCH ? PROT_EXEC : PROT_READ;
    switch (memory_fault(self->compartment, address, wanted)) {
    case MEMORY_FAULT_LOADED:
        memory_repair(self->compartment, address, 1, wanted);
        return;
    case MEMORY_FAULT_NO_FILE:
        signal_fault(self, frame, SIGBUS, BUS_ADRERR, address);
        return;
    case MEMORY_FAULT_BAD:
        if (is_repairable(self, frame, address, wanted))
            return;
        break;
    }
    /* Permitted, and still it failed: a page of a shared mapping beyond the end of its file */
    if (vma.kind == VMA_SHARED && (vma.prot & wanted))
        signal_fault(self, frame, SIGBUS, BUS_ADRERR, address);
    else
        signal_fault(self, frame, SIGSEGV, SEGV_ACCERR, address);
}

static void patch(struct thread *self, struct registers *frame, enum patch_kind kind)
{
    if (!(self->compartment->flags & START_NO_PATCH))
        patch_site(self, frame, kind);
}

static void trapped_syscall(struct thread *self, struct registers *frame)
{
    frame->rip += 2;
    frame->rcx = frame->rip;
    frame->r11 = frame->rflags;
    self->syscall_number = (int64_t)frame->rax;
    patch(self, frame, PATCH_SYSCALL);
    syscall_entry(frame);
}

/* Returns 1 if the instruction is one that the LibOS executes for the program. */
static int serve_instruction(struct thread *self, struct registers *frame)
{
    uint16_t opcode;
    if (copy_from_program(&opcode, (const void *)frame->rip, sizeof(opcode)))
        return 0;
    if (opcode == OPCODE_SYSCALL) {
        trapped_syscall(self, frame);
        return 1;
    }
    if (opcode == OPCODE_CPUID) {
        frame->rip += 2;
        patch(self, frame, PATCH_CPUID);
        program_cpuid(frame);
        return 1;
    }
    /* Another thread has patched the instruction that trapped: execute the jump. */
    return (opcode & 0xff) == OPCODE_JUMP;
}

void program_exception(struct registers *frame, uint64_t vector, uint64_t error, uint64_t address)
{
    struct thread *self = thread_self();
    if ((vector == VECTOR_UD || vector == VECTOR_GP) && serve_instruction(self, frame))
        return;
    self->fault.vector = vector;
    self->fault.error = error;
    if (vector == VECTOR_PF)
        self->fault.address = address;
    switch (vector) {
    case VECTOR_PF:
        page_fault(self, frame, error, address);
        break;
    case VECTOR_GP:
        signal_fault(self, frame, SIGSEGV, SI_KERNEL, 0);
        break;
    case VECTOR_DE:
        signal_fault(self, frame, SIGFPE, FPE_INTDIV, frame->rip);
        break;
    case VECTOR_MF:
        signal_fault(self, frame, SIGFPE, x87_code(), frame->rip);
        break;
    case VECTOR_XM:
        signal_fault(self, frame, SIGFPE, sse_code(), frame->rip);
        break;
    case VECTOR_DB:
        signal_fault(self, frame, SIGTRAP, TRAP_TRACE, frame->rip);
        break;
    case VECTOR_BP:
        signal_fault(self, frame, SIGTRAP, SI_KERNEL, 0);
        break;
    case VECTOR_AC:
        signal_fault(self, frame, SIGBUS, BUS_ADRALN, 0);
        break;
    default:
        signal_fault(self, frame, SIGILL, ILL_ILLOPN, frame->rip);
    }
}
