/* SPDX-License-Identifier: Apache-2.0 */
/*
 * int enclave_exit_handler(long rdi, long rsi, long rdx, long rsp, long r8, long r9, struct sgx_enclave_run *run)
 *
 * sgx_enclave_user_handler_t: after an exit, on the gate stack. 0 ends the call; ENCLU_EENTER enters again at once, with
 * RDI, RSI and RDX as they are then.
 */
#include "enclave_call.h"

    .text
    .globl enclave_exit_handler
enclave_exit_handler:
    mov 8(%rsp), %rdi
    sub $8, %rsp
    call enclave_serve_at_exit
    add $8, %rsp
    test %rax, %rax
    jz .Lend_call
    mov %rax, %rsi
    mov $ENTER_OCALL_RETURN, %edi
    xor %edx, %edx
    mov $ENTER_FUNCTION, %eax
.Lend_call:
    ret

    .section .note.GNU-stack, "", @progbits
