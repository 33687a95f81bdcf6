/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_ENCLAVE_LOOP_H
#define TEEMATE_ENCLAVE_LOOP_H
#include <stdint.h>

#include "thread.h"

/* What to do after an OCALL */
enum ocall_outcome {
    OCALL_CONTINUE, /* enter again with ECALL_OCALL_RETURN */
    OCALL_CHILD_ENDED, /* the same, but the TCS was a vfork child's meanwhile: it may have been killed inside */
    OCALL_FINISH, /* the enclave will not be entered again by this loop */
};

/* Enter at CSSA = 0 and serve OCALLs until one of them finishes the loop. Returns its number. */
uint32_t enclave_loop(struct host_thread *thread, uint32_t ecall, uint64_t argument);
/* For enclave_exit_handler. */
struct exchange *enclave_serve_at_exit(struct sgx_enclave_run *run);

/* From a signal handler, at CSSA = 1: ECALL_SIGNAL or ECALL_EXCEPTION. */
void enclave_enter_from_handler(struct host_thread *thread, uint32_t ecall);

/* ECALL_RESET at CSSA = 1, then ERESUME into the LibOS's reset routine until it leaves. 0 or -errno. */
long enclave_reset(struct host_thread *thread);

/* ocall.c */
enum ocall_outcome ocall_serve(struct host_thread *thread);
#endif
