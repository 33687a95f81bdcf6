/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of sgx_enter_enclave with the gate stack as its stack. The enclave keeps the RSP of its last EENTER, and
 * EEXITs with it even after other calls of sgx_enter_enclave (exception service, ERESUME) came between: so all of
 * them are made at the same stack address.
 */
#ifndef TEEMATE_ENCLAVE_CALL_H
#define TEEMATE_ENCLAVE_CALL_H

/* offsets for assembly */
#define CALL_RDI 0
#define CALL_RSI 8
#define CALL_RDX 16
#define CALL_GATE_STACK 24
#define CALL_RUN 32
#define CALL_REFUSE 40
#define CALL_FUNCTION 48
/* ECALL_OCALL_RETURN and ENCLU_EENTER */
#define ENTER_OCALL_RETURN 3
#define ENTER_FUNCTION 2

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct sgx_enclave_run;

struct enclave_call {
    uint64_t rdi, rsi, rdx;
    uint64_t gate_stack; /* its top, 16-byte aligned */
    struct sgx_enclave_run *run;
    const uint32_t *refuse; /* do not enter if this word is set, tested in the window */
    uint32_t function; /* ENCLU_EENTER or ENCLU_ERESUME */
};
_Static_assert(offsetof(struct enclave_call, gate_stack) == CALL_GATE_STACK, "gate_stack");
_Static_assert(offsetof(struct enclave_call, run) == CALL_RUN, "run");
_Static_assert(offsetof(struct enclave_call, refuse) == CALL_REFUSE, "refuse");
_Static_assert(offsetof(struct enclave_call, function) == CALL_FUNCTION, "function");

/* 0, or -EINTR when `refuse` was set: then nothing was entered. */
long enclave_call(const struct enclave_call *call);

/* For run->user_handler: most OCALLs need not end the call. See enclave_loop.c. */
int enclave_exit_handler(long rdi, long rsi, long rdx, long rsp, long r8, long r9, struct sgx_enclave_run *run);
extern char enclave_call_window_start[], enclave_call_window_end[];
#endif
#endif
