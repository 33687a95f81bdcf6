/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCALL: out with enclave_ocall, back in with ECALL OCALL_RETURN. The one way that is taken all the time, so the
 * extended state is moved by hand (extended_state_forms.inc).
 */
#include "entry_macros.inc"
#include "extended_state_forms.inc"

    .text
/*
 * void enclave_ocall(void): leave for the OCALL that the exchange describes; returns when the host has
 * entered again. A set ocall_rsp is what permits that entry.
 */
    .globl enclave_ocall
    .type enclave_ocall, @function
enclave_ocall:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    rdfsbase %rax
    mov %rax, %gs:THREAD_APP_FSBASE
    mov %gs:THREAD_FRAME, %rdi
    add $FRAME_TO_XSAVE, %rdi
    GET_STATE_IN_USE
    test $USED_X87, %al
    jnz save_by_xsave
    test $USED_BEYOND_SSE, %al
    jnz save_wide
    testb $USED_AVX, %gs:THREAD_XFRM
    jz save_by_xsave
    STORE_XMM
    vstmxcsr KEPT_MXCSR(%rdi)
    vzeroall
    vldmxcsr clean_extended_state+24(%rip)
    push $FORM_XMM
saved:
    mov %rsp, %gs:THREAD_OCALL_RSP
    mov %gs:THREAD_HOST_RSP, %rsp
    mov %gs:THREAD_HOST_RBP, %rbp
    mov %gs:THREAD_EXIT_TARGET, %rbx
    EEXIT_CLEARED

save_wide:
    cmpb $XFRM_ALL, %gs:THREAD_XFRM
    jne save_by_xsave
    STORE_HIGH
    test $USED_UPPER, %al
    jnz 1f
    STORE_XMM
    mov $FORM_HIGH, %r8d
    jmp 2f
1:
    STORE_ZMM
    mov $FORM_ZMM, %r8d
2:
    vstmxcsr KEPT_MXCSR(%rdi)
    vzeroall
    CLEAR_BEYOND_AVX
    vldmxcsr clean_extended_state+24(%rip)
    push %r8
    jmp saved

save_by_xsave:
    mov %gs:THREAD_XFRM, %esi
    cmpl $0, %gs:THREAD_XGETBV_REGISTER
    je 1f
    mov %esi, %eax
    xor %edx, %edx
    xsavec64 (%rdi)
    jmp 2f
1:
    call extended_state_save
2:
    mov %gs:THREAD_XFRM, %eax
    xor %edx, %edx
    xrstor64 clean_extended_state(%rip)
    push $FORM_XSAVE
    jmp saved

/* EENTER OCALL_RETURN: back in enclave_ocall's caller. The registers are enclave_entry's. */
    .globl ocall_return
    .type ocall_return, @function
ocall_return:
    CHECK_HOST_POINTERS %r8, %r9, entry_unusable
    xor %r8d, %r8d
    xchg %r8, %gs:THREAD_OCALL_RSP
    test %r8, %r8
    jz entry_refused
    mov %rsp, %gs:THREAD_HOST_RSP
    mov %rbp, %gs:THREAD_HOST_RBP
    mov %rcx, %gs:THREAD_EXIT_TARGET
    mov %rsi, %gs:THREAD_EXCHANGE
    mov %r8, %rsp
    CLEAR_FLAGS
    mov %gs:THREAD_APP_FSBASE, %rax
    wrfsbase %rax
    mov %gs:THREAD_FRAME, %rdi
    add $FRAME_TO_XSAVE, %rdi
    pop %r8
    cmp $FORM_ZMM, %r8d
    je restore_zmm
    cmp $FORM_HIGH, %r8d
    je restore_high
    cmp $FORM_XMM, %r8d
    je restore_xmm
    mov %gs:THREAD_XFRM, %eax
    xor %edx, %edx
    xrstor64 (%rdi)
restored:
    /* Signals that came while we were outside are only queued: see docs/architecture.md. */
    cmpl $0, EXCHANGE_SIGNAL_PENDING(%rsi)
    je 1f
    movl $1, %gs:THREAD_PENDING
1:
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

restore_zmm:
    GET_STATE_IN_USE
    test $USED_X87, %al
    jnz 1f
2:
    LOAD_ZMM
    LOAD_HIGH
    vldmxcsr KEPT_MXCSR(%rdi)
    jmp restored
1:
    CLEAR_EXTENDED_STATE
    jmp 2b

restore_high:
    GET_STATE_IN_USE
    test $(USED_X87 | USED_UPPER), %al
    jnz 1f
2:
    LOAD_XMM
    LOAD_HIGH
    vldmxcsr KEPT_MXCSR(%rdi)
    jmp restored
1:
    CLEAR_EXTENDED_STATE
    jmp 2b

restore_xmm:
    GET_STATE_IN_USE
    test $(USED_X87 | USED_BEYOND_SSE), %al
    jnz 1f
2:
    LOAD_XMM
    vldmxcsr KEPT_MXCSR(%rdi)
    jmp restored
1:
    CLEAR_EXTENDED_STATE
    jmp 2b

    .section .note.GNU-stack, "", @progbits
