/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Software model of SGX's ENCLU: EENTER, ERESUME, EEXIT and AEX as in the Intel SDM, vol. 3D.
 *
 * A host thread plays a logical processor, `struct cpu`. Outside the enclave GS points to it; inside, GS is
 * the enclave's, and the gate finds it through the TCS (see gate.S). A signal that arrives inside is an AEX.
 *
 * ENCLU is one instruction on a CPU, but many here. To everyone else it is still atomic: when a signal
 * interrupts the model's own instructions, instruction_window.c rewinds EENTER and ERESUME to the ENCLU, and completes
 * EEXIT, before anyone sees the interrupted registers.
 *
 * What this model gives is the control flow of SGX, never its confidentiality.
 */
#ifndef TEEMATE_SGX_MODEL_H
#define TEEMATE_SGX_MODEL_H

/* offsets into struct cpu, for assembly */
#define CPU_SELF 0
#define CPU_TCS 8
#define CPU_HOST_FSBASE 16
#define CPU_AEP 24
#define CPU_ENCLAVE_BASE 32
#define CPU_ENCLAVE_SIZE 40
#define CPU_XFRM 48
#define CPU_HOST_RSP 56
#define CPU_HOST_RBP 64
#define CPU_CSSA 72
#define CPU_SELECTOR 76
#define CPU_IRET 80

/* struct sgx_tcs.state: the struct cpu that runs the TCS, 0 when idle */
#define TCS_STATE 0

/* kernel's SYSCALL_DISPATCH_FILTER_*: the selector also says whether the processor is in enclave mode */
#define OUTSIDE_ENCLAVE 0
#define INSIDE_ENCLAVE 1

#define USER_CS 0x33
#define USER_SS 0x2b

#ifndef __ASSEMBLER__
#include <asm/sigcontext.h>
#include <stddef.h>
#include <stdint.h>

#include "../../enclave/include/layout.h"
#include "../../enclave/include/sgx_arch.h"
#include "../sgx_platform.h"

struct cpu {
    struct cpu *self;
    struct sgx_tcs *tcs; /* of the running or last ENCLU */
    uint64_t host_fsbase;
    uint64_t aep;
    uint64_t enclave_base, enclave_size;
    uint64_t xfrm;
    /* for rewinding an ERESUME */
    uint64_t host_rsp, host_rbp;
    uint32_t cssa;
    uint8_t selector;
    uint8_t reserved[3];
    uint64_t iret_frame[5];
    uint8_t cpuid_faults;
};
#define CPU_OFFSET(field, value) _Static_assert(offsetof(struct cpu, field) == (value), #field)
CPU_OFFSET(tcs, CPU_TCS);
CPU_OFFSET(host_fsbase, CPU_HOST_FSBASE);
CPU_OFFSET(aep, CPU_AEP);
CPU_OFFSET(enclave_base, CPU_ENCLAVE_BASE);
CPU_OFFSET(enclave_size, CPU_ENCLAVE_SIZE);
CPU_OFFSET(xfrm, CPU_XFRM);
CPU_OFFSET(host_rsp, CPU_HOST_RSP);
CPU_OFFSET(host_rbp, CPU_HOST_RBP);
CPU_OFFSET(cssa, CPU_CSSA);
CPU_OFFSET(selector, CPU_SELECTOR);
CPU_OFFSET(iret_frame, CPU_IRET);
_Static_assert(sizeof(struct cpu) <= SGX_THREAD_SIZE, "struct cpu");

/* An exception as the processor reports it */
struct exception {
    uint32_t vector;
    uint32_t error_code;
    uint64_t address;
};

/* enter.S and gate.S: instruction boundaries that instruction_window.c must tell apart */
extern char model_enclu[], model_enclu_next[], model_exception_exit[];
extern char model_eenter[], model_eenter_taken[], model_eenter_end[];
extern char model_eresume[], model_eresume_taken[], model_eresume_loading[], model_eresume_end[];
struct gate_labels {
    uint64_t start, exit_end, no_op, no_op_done, general_protection, end;
};
extern const struct gate_labels model_gate_labels;

enum window {
    WINDOW_NONE,
    WINDOW_ENCLU, /* EENTER or ERESUME: now rewound to the ENCLU, in host mode */
    WINDOW_EEXIT, /* now completed, in host mode */
    WINDOW_LEAF, /* another leaf: now before or after the ENCLU, in enclave mode */
};
/* Make the interrupted ENCLU atomic. Returns which it was. */
enum window window_close(struct cpu *cpu, struct sigcontext *context);

/* Save the interrupted enclave state in the SSA and replace it with the synthetic state. */
void model_aex(struct cpu *cpu, struct sigcontext *context, const struct exception *exception);
/* Host mode again, without touching the SSA. */
void model_leave(struct cpu *cpu);

/* Which bytes of the XSAVE area each component of XFRM takes; fails if they outgrow the SSA frame. */
void xstate_start(uint64_t xfrm);
/* Move the components of XFRM from the kernel's signal frame to the SSA, leaving initial state there. */
void xstate_save(uint64_t xfrm, void *ssa, void *signal_frame);

/* Was this signal raised by an instruction? Then which exception, else 0. */
int exception_decode(int signal, const siginfo_t *info, const struct sigcontext *context, struct exception *out);

/* Where the exception leaves RIP in an enclave */
void exception_adjust_rip(int signal, const struct exception *exception, struct sigcontext *context);

void model_signals_start(void);

static inline struct sgx_gprs *ssa_gprs(uint64_t frame)
{
    return (struct sgx_gprs *)(frame + SSA_FRAME_SIZE - GPRSGX_SIZE);
}

static inline uint64_t ssa_frame(const struct cpu *cpu, uint32_t index)
{
    return cpu->enclave_base + cpu->tcs->ossa + (uint64_t)index * SSA_FRAME_SIZE;
}
#endif
#endif
