/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sgx_enter_enclave: instruction for instruction what the kernel's vsgx.S does, except that its ENCLU is the
 * code from model_enclu on.
 *
 *   int model_enter_enclave(rdi, rsi, rdx, function, r8, r9, struct sgx_enclave_run *run)
 *
 * EENTER uses R10 and R11 as scratch; every other register reaches the enclave as it is. RBX (the TCS) is
 * never changed before the jump, so that a signal can rewind to model_enclu.
 */
#include "../../enclave/include/layout.h"
#include "../../enclave/include/sgx_arch.h"
#include "model.h"

#define EINVAL 22
#define RUN_ON_STACK 16
#define RUN_TCS 0
#define RUN_FUNCTION 8
#define RUN_VECTOR 12
#define RUN_ERROR_CODE 14
#define RUN_ADDRESS 16
#define RUN_HANDLER 24
#define RUN_RESERVED 40
#define RUN_SIZE 256
#define FRAME_GPRS (SSA_FRAME_SIZE - GPRSGX_SIZE)
#define GPRSGX_URSP 144
#define GPRSGX_URBP 152

    .text
    .globl model_enter_enclave
model_enter_enclave:
    push %rbp
    mov %rsp, %rbp
    push %rbx
    mov %ecx, %eax
.Lenter:
    cmp $ENCLU_EENTER, %eax
    jb .Linvalid
    cmp $ENCLU_ERESUME, %eax
    ja .Linvalid
    mov RUN_ON_STACK(%rbp), %rcx
    /* the reserved fields must be zero; in two halves, which the processor adds up side by side */
    mov RUN_RESERVED(%rcx), %rbx
    xor %r10d, %r10d
    .set offset, RUN_RESERVED + 8
    .rept (RUN_SIZE - RUN_RESERVED - 8) / 16
    or offset(%rcx), %rbx
    or offset + 8(%rcx), %r10
    .set offset, offset + 16
    .endr
    or %r10, %rbx
    jnz .Linvalid
    mov RUN_TCS(%rcx), %rbx
    lea model_enclu(%rip), %rcx

/* The ENCLU, and the asynchronous exit pointer */
    .globl model_enclu
model_enclu:
    cmp $ENCLU_ERESUME, %eax
    je model_eresume
    jmp model_eenter

    .globl model_enclu_next
model_enclu_next: /* EEXIT comes here */
    mov RUN_ON_STACK(%rbp), %rbx
    movl $ENCLU_EEXIT, RUN_FUNCTION(%rbx)
.Lexit:
    cmpq $0, RUN_HANDLER(%rbx)
    jne .Lhandler
    xor %eax, %eax
.Lout:
    pop %rbx
    leave
    ret
.Linvalid:
    mov $-EINVAL, %eax
    jmp .Lout

/* An exception at the ENCLU or in the enclave: EAX = leaf, EDI = vector, ESI = error code, RDX = address */
    .globl model_exception_exit
model_exception_exit:
    mov RUN_ON_STACK(%rbp), %rbx
    mov %eax, RUN_FUNCTION(%rbx)
    mov %di, RUN_VECTOR(%rbx)
    mov %si, RUN_ERROR_CODE(%rbx)
    mov %rdx, RUN_ADDRESS(%rbx)
    jmp .Lexit

.Lhandler: /* with the untrusted stack as the enclave left it, aligned; a positive answer is the next leaf */
    mov %rsp, %rcx
    mov %rbx, %rax
    mov %rsp, %rbx
    and $-0x10, %rsp
    push %rax /* the call's stack argument, and alignment */
    push %rax
    cld
    call *RUN_HANDLER(%rax)
    lea (%rbx), %rsp
    cmp $0, %eax
    jle .Lout
    jmp .Lenter

.Lprotection_eenter:
    mov $ENCLU_EENTER, %eax
    jmp .Lprotection
.Lprotection_eresume:
    mov $ENCLU_ERESUME, %eax
.Lprotection:
    mov $VECTOR_GP, %edi
    xor %esi, %esi
    xor %edx, %edx
    jmp model_exception_exit

/* R10 = cpu, RBX = TCS: is RBX a page of the enclave? Otherwise #GP. */
.macro check_tcs fail
    test $(SGX_PAGE_SIZE - 1), %ebx
    jnz \fail
    mov %rbx, %r11
    sub CPU_ENCLAVE_BASE(%r10), %r11
    cmp CPU_ENCLAVE_SIZE(%r10), %r11
    jae \fail
.endm

    .globl model_eenter
model_eenter:
    mov %gs:CPU_SELF, %r10
    check_tcs .Lprotection_eenter
    /* the gate finds the TCS by the enclave's GS */
    mov TCS_OGSBASE(%rbx), %r11
    add CPU_ENCLAVE_BASE(%r10), %r11
    sub $(THREAD_TCB - THREAD_TCS), %r11
    cmp %r11, %rbx
    jne .Lprotection_eenter
    rdfsbase %r11
    mov %r11, CPU_HOST_FSBASE(%r10)
    mov %rbx, CPU_TCS(%r10)
    xor %eax, %eax
    lock cmpxchg %r10, TCS_STATE(%rbx)
    .globl model_eenter_taken
model_eenter_taken:
    jnz .Lprotection_eenter
    mov TCS_CSSA(%rbx), %eax
    cmp TCS_NSSA(%rbx), %eax
    jae .Lrelease_eenter
    mov $SSA_FRAME_SIZE, %r11d
    imul %rax, %r11
    add TCS_OSSA(%rbx), %r11
    add CPU_ENCLAVE_BASE(%r10), %r11
    mov %rsp, FRAME_GPRS + GPRSGX_URSP(%r11)
    mov %rbp, FRAME_GPRS + GPRSGX_URBP(%r11)
    mov %rcx, TCS_AEP(%rbx)
    lea model_enclu_next(%rip), %rcx
    mov TCS_OENTRY(%rbx), %r11
    add CPU_ENCLAVE_BASE(%r10), %r11
    mov TCS_OFSBASE(%rbx), %rax
    add CPU_ENCLAVE_BASE(%r10), %rax
    wrfsbase %rax
    mov TCS_OGSBASE(%rbx), %rax
    add CPU_ENCLAVE_BASE(%r10), %rax
    wrgsbase %rax
    movb $INSIDE_ENCLAVE, CPU_SELECTOR(%r10)
    mov TCS_CSSA(%rbx), %eax
    jmp *%r11
.Lrelease_eenter:
    movq $0, TCS_STATE(%rbx)
    jmp .Lprotection_eenter
    .globl model_eenter_end
model_eenter_end:

    .globl model_eresume
model_eresume:
    mov %gs:CPU_SELF, %r10
    check_tcs .Lprotection_eresume
    rdfsbase %r11
    mov %r11, CPU_HOST_FSBASE(%r10)
    mov %rbx, CPU_TCS(%r10)
    xor %eax, %eax
    lock cmpxchg %r10, TCS_STATE(%rbx)
    .globl model_eresume_taken
model_eresume_taken:
    jnz .Lprotection_eresume
    mov TCS_CSSA(%rbx), %eax
    test %eax, %eax
    jz .Lrelease_eresume
    mov %eax, CPU_CSSA(%r10)
    mov %rsp, CPU_HOST_RSP(%r10)
    mov %rbp, CPU_HOST_RBP(%r10)
    jmp model_eresume_loading
.Lrelease_eresume:
    movq $0, TCS_STATE(%rbx)
    jmp .Lprotection_eresume
    /* from here on the handler undoes what it finds half done: CSSA, stack, FS, GS */
    .globl model_eresume_loading
model_eresume_loading:
    sub $1, %eax
    mov %eax, TCS_CSSA(%rbx)
    mov $SSA_FRAME_SIZE, %r11d
    imul %rax, %r11
    add TCS_OSSA(%rbx), %r11
    add CPU_ENCLAVE_BASE(%r10), %r11
    mov %rcx, TCS_AEP(%rbx)
    mov CPU_XFRM(%r10), %eax
    mov CPU_XFRM + 4(%r10), %edx
    xrstor64 (%r11)
    add $FRAME_GPRS, %r11
    mov %rsp, GPRSGX_URSP(%r11)
    mov %rbp, GPRSGX_URBP(%r11)
    mov GPRSGX_FSBASE(%r11), %rax
    wrfsbase %rax
    mov GPRSGX_GSBASE(%r11), %rax
    wrgsbase %rax
    mov GPRSGX_RIP(%r11), %rax
    mov %rax, CPU_IRET(%r10)
    movq $USER_CS, CPU_IRET + 8(%r10)
    mov 128(%r11), %rax /* RFLAGS */
    mov %rax, CPU_IRET + 16(%r10)
    mov 32(%r11), %rax /* RSP */
    mov %rax, CPU_IRET + 24(%r10)
    movq $USER_SS, CPU_IRET + 32(%r10)
    movb $INSIDE_ENCLAVE, CPU_SELECTOR(%r10)
    lea CPU_IRET(%r10), %rsp
    mov 0(%r11), %rax
    mov 8(%r11), %rcx
    mov 16(%r11), %rdx
    mov 24(%r11), %rbx
    mov 40(%r11), %rbp
    mov 48(%r11), %rsi
    mov 56(%r11), %rdi
    mov 64(%r11), %r8
    mov 72(%r11), %r9
    mov 80(%r11), %r10
    mov 96(%r11), %r12
    mov 104(%r11), %r13
    mov 112(%r11), %r14
    mov 120(%r11), %r15
    mov 88(%r11), %r11
    iretq
    .globl model_eresume_end
model_eresume_end:

    .section .note.GNU-stack, "", @progbits
