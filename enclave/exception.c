/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries at CSSA = 1: an exception or a signal has interrupted the thread, whose state is in SSA[0]. There
 * is no third SSA frame, so nothing here may fault or wait: it changes where SSA[0] continues, and the
 * work is done there, at CSSA = 0.
 *
 *   interrupted at       exception                        signal
 *   the program          frame := SSA[0],                 frame := SSA[0],
 *                        continue in program_exception    continue in program_resume
 *   usercopy.S           continue at its fixup            pending := 1
 *   clock_try_tsc        continue at clock_no_tsc         pending := 1
 *   program_resume       fatal, but for its jump to an    pending := 1, start again from its top
 *                        address which cannot be:
 *                        continue in program_exception
 *   elsewhere in LibOS   fatal                            pending := 1
 *
 * What happened is decided by SSA[0].EXITINFO, never by what the host says.
 */
#include "accept.h"
#include "clock.h"
#include "enter.h"
#include "host.h"
#include "include/sgx_arch.h"
#include "usercopy.h"
#include "vfork.h"

#define SIGABRT 6
#define RFLAGS_CLEAN 0x202
#define ADDRESS_BITS 47 /* of the half that is the program's */

enum { FATAL_LOGGED = 1, FATAL_SILENT = 2 };

static struct sgx_gprs *interrupted_gprs(const struct thread *self)
{
    return (struct sgx_gprs *)(thread_block(self) + THREAD_SSA + SSA_FRAME_SIZE - GPRSGX_SIZE);
}

static const struct sgx_exinfo *interrupted_exinfo(const struct thread *self)
{
    return (const struct sgx_exinfo *)interrupted_gprs(self) - 1;
}

static int within(uint64_t address, const char *start, const char *end)
{
    return address >= (uint64_t)start && address < (uint64_t)end;
}

static int in_image(uint64_t address)
{
    return address - ENCLAVE_BASE < IMAGE_SIZE;
}

static void save_program(struct thread *self, const struct sgx_gprs *gprs)
{
    *self->frame = (struct registers){
        .r15 = gprs->r15,
        .r14 = gprs->r14,
        .r13 = gprs->r13,
        .r12 = gprs->r12,
        .r11 = gprs->r11,
        .r10 = gprs->r10,
        .r9 = gprs->r9,
        .r8 = gprs->r8,
        .rdi = gprs->rdi,
        .rsi = gprs->rsi,
        .rdx = gprs->rdx,
        .rcx = gprs->rcx,
        .rbx = gprs->rbx,
        .rbp = gprs->rbp,
        .rax = gprs->rax,
        .rflags = gprs->rflags,
        .rip = gprs->rip,
        .rsp = gprs->rsp,
    };
    self->syscall_number = NO_SYSCALL;
}

/* Continue with function(rdi, rsi, rdx, rcx) on an empty LibOS stack. */
static void continue_in(struct sgx_gprs *gprs, const void *function, uint64_t rdi, uint64_t rsi, uint64_t rdx,
                        uint64_t rcx)
{
    gprs->rip = (uint64_t)frame_call;
    gprs->rflags = RFLAGS_CLEAN;
    gprs->rax = (uint64_t)function;
    gprs->rdi = rdi;
    gprs->rsi = rsi;
    gprs->rdx = rdx;
    gprs->rcx = rcx;
}

static void report_fault_of_libos(uint64_t rip, uint64_t vector, uint64_t address)
{
    host_log(0, "the LibOS faulted at image offset 0x%lx: exception %lu, address 0x%lx; please report this",
             rip - ENCLAVE_BASE, vector, address);
    host_raise_default(SIGABRT);
}

/* Returns 0 when even reporting faults. */
static int fault_of_libos(struct thread *self, struct sgx_gprs *gprs, uint64_t vector, uint64_t address)
{
    switch (++self->dying) {
    case FATAL_LOGGED:
        continue_in(gprs, report_fault_of_libos, gprs->rip, vector, address, 0);
        return 1;
    case FATAL_SILENT:
        continue_in(gprs, host_raise_default, SIGABRT, 0, 0, 0);
        return 1;
    default:
        return 0;
    }
}

/* Sigreturn takes any address. One that is not canonical faults at our jump and not behind it: the frame is whole. */
static int is_wild_return(const struct thread *self, const struct sgx_gprs *gprs, uint64_t vector)
{
    return vector == VECTOR_GP && within(gprs->rip, program_resume, program_resume_end) &&
           self->frame->rip >> ADDRESS_BITS;
}

/* Returns 0 when the thread cannot go on. */
static int exception(struct thread *self, struct sgx_gprs *gprs)
{
    uint32_t exitinfo = gprs->exitinfo;
    if (!(exitinfo & EXITINFO_VALID))
        return 1; /* it was an interrupt, whatever the host says: just resume */
    uint64_t vector = exitinfo & EXITINFO_VECTOR_MASK;
    uint64_t address = 0, error = 0;
    if (vector == VECTOR_PF || vector == VECTOR_GP) {
        address = interrupted_exinfo(self)->maddr;
        error = interrupted_exinfo(self)->errcd;
    }
    if (vector == VECTOR_PF && accept_page(self, address, error))
        return 1;

    if (within(gprs->rip, usercopy_start, usercopy_end) && vector != VECTOR_UD) {
        gprs->rip = (uint64_t)usercopy_fault;
        return 1;
    }
    if (gprs->rip == (uint64_t)clock_try_tsc) {
        gprs->rip = (uint64_t)clock_no_tsc;
        return 1;
    }
    if (self->state != THREAD_RUNNING || (in_image(gprs->rip) && !is_wild_return(self, gprs, vector)))
        return fault_of_libos(self, gprs, vector, address);
    if (!in_image(gprs->rip))
        save_program(self, gprs);
    continue_in(gprs, program_exception, (uint64_t)self->frame, vector, error, address);
    return 1;
}

static void signal(struct thread *self, struct sgx_gprs *gprs)
{
    /*
     * At the thread's first instructions the signal stays queued: the first OCALL finds it. At its last ones nobody
     * is left to take it.
     */
    if (self->self != self || self->state != THREAD_RUNNING)
        return;
    self->pending = 1;
    if (!in_image(gprs->rip))
        save_program(self, gprs);
    else if (!within(gprs->rip, program_resume, program_resume_end))
        return;
    gprs->rip = (uint64_t)program_resume;
    gprs->rflags = RFLAGS_CLEAN;
}

/*
 * The process is dead and the host's janitor makes the TCS usable again. The thread may have been killed
 * before its first instruction, so nothing in its block is relied upon.
 */
static uint32_t reset(struct thread *self, volatile struct exchange *exchange, struct sgx_gprs *gprs)
{
    self->self = self;
    self->exchange = (struct exchange *)exchange;
    self->exit_target = self->exc_exit_target;
    self->host_rsp = self->exc_host_rsp;
    self->host_rbp = self->exc_host_rbp;
    self->frame = (struct registers *)(thread_block(self) + THREAD_REGISTERS);
    self->xfrm = __builtin_ia32_xgetbv(0) & XFRM_SUPPORTED;
    continue_in(gprs, thread_reset, (uint64_t)self, 0, 0, 0);
    return OCALL_RESET_DONE;
}

/* The child is gone, and with it the host's side of this thread: from here on it is the parent's. */
static uint32_t vfork_died(struct thread *self, volatile struct exchange *exchange, struct sgx_gprs *gprs)
{
    if (self->self != self || self->state != THREAD_RUNNING || !self->is_vfork_child)
        return OCALL_REFUSED;
    self->exchange = (struct exchange *)exchange;
    self->exit_target = self->exc_exit_target;
    self->host_rsp = self->exc_host_rsp;
    self->host_rbp = self->exc_host_rbp;
    self->ocall_rsp = 0;
    continue_in(gprs, vfork_child_died, (uint64_t)self, 0, 0, 0);
    return OCALL_EXCEPTION_DONE;
}

void exception_begin(enum ecall ecall, volatile struct exchange *exchange, struct thread *self)
{
    struct sgx_gprs *gprs = interrupted_gprs(self);
    uint32_t outcome = OCALL_EXCEPTION_DONE;
    if (ecall == ECALL_EXCEPTION && self->self == self)
        outcome = exception(self, gprs) ? OCALL_EXCEPTION_DONE : OCALL_REFUSED;
    else if (ecall == ECALL_SIGNAL)
        signal(self, gprs);
    else if (ecall == ECALL_RESET)
        outcome = reset(self, exchange, gprs);
    else if (ecall == ECALL_VFORK_DIED)
        outcome = vfork_died(self, exchange, gprs);
    else
        outcome = OCALL_REFUSED;
    exchange->exception_op = outcome;
}
