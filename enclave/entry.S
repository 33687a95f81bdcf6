/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way into and out of the enclave. Those between the program and the LibOS are in program_switch.S.
 *
 *          host                      LibOS (CSSA = 0)                        program
 *   EENTER START --------> enclave_entry -> enclave_begin -> program_enter ---> runs
 *   EENTER OCALL_RETURN -> enclave_entry -> back in enclave_ocall               |
 *                 <------- enclave_ocall        syscall_enter <-----------------| jmp *%gs:8 (patched)
 *                                               cpuid_enter <-------------------| jmp *%gs:136 (patched)
 *                                               frame_call <--------------------| #UD and faults, by exception.c
 *                                               program_resume ---------------->|
 *          host                      LibOS (CSSA = 1)
 *   EENTER EXCEPTION, SIGNAL, RESET -> exception_entry -> exception_begin, which changes SSA[0] only;
 *                                      then EEXIT, and the host's ERESUME continues at CSSA = 0
 *
 * All of it assumes a hostile host: RSI and RCX are checked before use, RSP and RBP are only ever given back,
 * flags that change the meaning of code (DF, AC) are cleared, MXCSR and the x87 control word are loaded.
 */
#include "include/layout.h"
#include "include/sgx_arch.h"
#include "thread.h"

#define TCB_TO_FRAME (THREAD_REGISTERS - THREAD_TCB)
#define TCB_TO_EXCEPTION_STACK (THREAD_EXCEPTION_STACK_TOP - THREAD_TCB)

/* The instruction, a two-byte NOP, and a note of the place for the software model (docs/architecture.md) */
.macro ENCLU_SITE
.Lenclu_\@:
    .byte 0x0f, 0x01, 0xd7
    .byte 0x66, 0x90
    .pushsection .enclu_sites, "", @progbits
    .quad .Lenclu_\@
    .popsection
.endm

/* EEXIT to RBX. RSP and RBP are the host's already; nothing else may say anything about the enclave. */
.macro EEXIT_CLEARED
    xor %ecx, %ecx
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    xor %r12d, %r12d
    xor %r13d, %r13d
    xor %r14d, %r14d
    xor %r15d, %r15d
    mov $ENCLU_EEXIT, %eax
    ENCLU_SITE
    ud2
.endm

/* All extended state as after reset: MXCSR 0x1f80, x87 control word 0x37f, registers zero. */
.macro CLEAR_EXTENDED_STATE
    mov %gs:THREAD_XFRM, %eax
    xor %edx, %edx
    xrstor64 clean_extended_state(%rip)
.endm

/*
 * The extended state while the thread is outside. XSAVEC and two XRSTORs would cost as much as all else on the way
 * out and in together, so registers are moved one by one where that is enough:
 *
 *   FORM_XMM   only SSE state is in use
 *   FORM_HIGH  besides, mask registers or ZMM16-31 are (glibc's string functions use them), and XFRM has all of it
 *   FORM_ZMM   the upper halves of registers 0-15 are, too
 *   FORM_XSAVE x87 state is in use, or XFRM lacks what the others need
 *
 * FORM_HIGH is there for speed alone. To load an upper half, even with zeros, is to mark it as in use, and from then on
 * each legacy SSE instruction waits for the register's old value (a third of sqlite's time).
 *
 * XGETBV says what is in use: a component that is not is in its initial state, and holds nothing. The host can leave
 * any state behind: on the way in, what the form does not load is brought back to its initial state.
 *
 * Without XSAVEC and XGETBV of register 1, register 0 is read instead: everything enabled counts as in use, x87 always
 * is, and so FORM_XSAVE is all that is ever taken. XSAVE, too, marks what is in its initial state, and XRSTOR does not load it.
 */
#define FORM_XSAVE 0
#define FORM_XMM 1
#define FORM_HIGH 2
#define FORM_ZMM 3
#define USED_X87 0x1
#define USED_AVX 0x4
#define USED_UPPER 0x44 /* AVX, upper halves of ZMM0-15 */
#define USED_BEYOND_SSE 0xe4 /* AVX, mask registers, upper halves of ZMM0-15, ZMM16-31 */
#define XFRM_ALL 0xe7
#define KEPT_VECTORS 576 /* in the XSAVE area, behind its header, whose reserved fields must stay zero */
#define KEPT_MASKS (KEPT_VECTORS + 32 * 64)
#define KEPT_MXCSR (KEPT_MASKS + 8 * 8)

/* EAX = the components in use, of those in XFRM. Clobbers ECX and EDX. */
.macro GET_STATE_IN_USE
    mov %gs:THREAD_XGETBV_REGISTER, %ecx
    xgetbv
    and %gs:THREAD_XFRM, %eax
.endm

/* RDI = XSAVE area */
.macro STORE_XMM
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqa %xmm\n, KEPT_VECTORS + \n * 64(%rdi)
    .endr
.endm
.macro LOAD_XMM
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqa KEPT_VECTORS + \n * 64(%rdi), %xmm\n
    .endr
.endm
.macro STORE_ZMM
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqa64 %zmm\n, KEPT_VECTORS + \n * 64(%rdi)
    .endr
.endm
.macro LOAD_ZMM
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqa64 KEPT_VECTORS + \n * 64(%rdi), %zmm\n
    .endr
.endm
.macro STORE_HIGH
    .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovdqa64 %zmm\n, KEPT_VECTORS + \n * 64(%rdi)
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    kmovq %k\n, KEPT_MASKS + \n * 8(%rdi)
    .endr
.endm
.macro LOAD_HIGH
    .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovdqa64 KEPT_VECTORS + \n * 64(%rdi), %zmm\n
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    kmovq KEPT_MASKS + \n * 8(%rdi), %k\n
    .endr
.endm
/* What VZEROALL leaves */
.macro CLEAR_BEYOND_AVX
    .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vpxord %zmm\n, %zmm\n, %zmm\n
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    kxorq %k\n, %k\n, %k\n
    .endr
.endm

/* Is [RSI, RSI + EXCHANGE_SIZE_MAX) outside ELRANGE and aligned, and RCX outside? */
.macro CHECK_HOST_POINTERS scratch, scratch2, bad
    test $7, %sil
    jnz \bad
    movabs $(ENCLAVE_BASE - EXCHANGE_SIZE_MAX), \scratch
    mov %rsi, \scratch2
    sub \scratch, \scratch2
    movabs $(ELRANGE_SIZE_MAX + EXCHANGE_SIZE_MAX), \scratch
    cmp \scratch, \scratch2
    jb \bad
    movabs $ENCLAVE_BASE, \scratch
    mov %rcx, \scratch2
    sub \scratch, \scratch2
    movabs $ELRANGE_SIZE_MAX, \scratch
    cmp \scratch, \scratch2
    jb \bad
.endm

/* Needs a stack. A set AC would make unaligned accesses fault. */
.macro CLEAR_FLAGS
    cld
    pushfq
    testl $RFLAGS_AC, (%rsp)
    lea 8(%rsp), %rsp
    jz .Lflags_clear_\@
    pushq $2
    popfq
.Lflags_clear_\@:
.endm

    .section .text.entry, "ax", @progbits

/* RAX = CSSA, RBX = TCS, RCX = where to EEXIT to, RDI = enum ecall, RSI = exchange, RDX = argument */
    .globl enclave_entry
    .type enclave_entry, @function
enclave_entry:
    test %eax, %eax
    jnz exception_entry
    cmp $ENTRY_OCALL_RETURN, %edi
    jne entry_begin

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

/* START, START_THREAD, SCRUB: nothing on the LibOS stack is needed any more, or the ECALL is refused. */
entry_begin:
    CHECK_HOST_POINTERS %r8, %r9, entry_unusable
    cmp $ENTRY_START_THREAD, %edi
    je 1f
    cmp $ENTRY_SCRUB, %edi
    je 2f /* the thread is outside (its TCS was free), so whatever its state: it ends here */
    cmp $ENTRY_START, %edi
    jne entry_refused
    cmpl $THREAD_STATE_FREE, %gs:THREAD_STATE
    jne entry_refused
    jmp 2f
1:
    /* Before anything else is touched: from here on neither a scrub nor the cloning thread takes the slot back */
    mov $THREAD_STATE_STARTING, %eax
    mov $THREAD_STATE_RUNNING, %r8d
    lock cmpxchg %r8d, %gs:THREAD_STATE
    jne entry_refused
2:
    rdgsbase %r8
    mov %r8, THREAD_SELF(%r8)
    mov %rsp, THREAD_HOST_RSP(%r8)
    mov %rbp, THREAD_HOST_RBP(%r8)
    mov %rcx, THREAD_EXIT_TARGET(%r8)
    mov %rsi, THREAD_EXCHANGE(%r8)
    movq $0, THREAD_OCALL_RSP(%r8)
    lea TCB_TO_FRAME(%r8), %rsp
    mov %rsp, THREAD_FRAME(%r8)
    lea syscall_enter(%rip), %rax
    mov %rax, THREAD_SYSCALL_ENTRY(%r8)
    lea cpuid_enter(%rip), %rax
    mov %rax, THREAD_CPUID_ENTRY(%r8)
    CLEAR_FLAGS
    xor %ecx, %ecx
    xgetbv
    and $XFRM_SUPPORTED, %eax
    mov %rax, THREAD_XFRM(%r8)
    xor %edx, %edx
    xrstor64 clean_extended_state(%rip)
    mov %r8, %rsi
    xor %ebp, %ebp
    call enclave_begin /* (ecall, thread) */
    ud2

/* The host broke the protocol. RSP and RBP are still its own; the TCS stays as it was. */
entry_refused:
    movl $ENTRY_REFUSED, (%rsi)
    mov %rcx, %rbx
    EEXIT_CLEARED

/* Not even a place to say so or to exit to. */
entry_unusable:
    ud2

/* EAX = CSSA = 1 */
exception_entry:
    cmp $1, %eax
    jne entry_unusable
    CHECK_HOST_POINTERS %r8, %r9, entry_unusable
    rdgsbase %rax
    mov %rsp, THREAD_EXC_HOST_RSP(%rax)
    mov %rbp, THREAD_EXC_HOST_RBP(%rax)
    mov %rcx, THREAD_EXC_EXIT_TARGET(%rax)
    lea TCB_TO_EXCEPTION_STACK(%rax), %rsp
    CLEAR_FLAGS
    mov %rax, %rdx
    xor %ebp, %ebp
    call exception_begin /* (ecall, exchange, thread) */
    mov %gs:THREAD_EXC_HOST_RSP, %rsp
    mov %gs:THREAD_EXC_HOST_RBP, %rbp
    mov %gs:THREAD_EXC_EXIT_TARGET, %rbx
    EEXIT_CLEARED

/*
 * void enclave_ocall(void): leave for the OCALL that the exchange describes; returns when the host has
 * entered again. A set ocall_rsp is what permits that entry.
 */
    .text
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

/*
 * _Noreturn void enclave_exit_thread(void): the last exit of a thread. From the store on, another thread may
 * prepare the block for a new one (whose EENTER finds the TCS busy until EEXIT), so it is touched no more.
 */
    .globl enclave_exit_thread
    .type enclave_exit_thread, @function
enclave_exit_thread:
    CLEAR_EXTENDED_STATE
    mov %gs:THREAD_HOST_RSP, %rsp
    mov %gs:THREAD_HOST_RBP, %rbp
    mov %gs:THREAD_EXIT_TARGET, %rbx
    movl $THREAD_STATE_FREE, %gs:THREAD_STATE
    EEXIT_CLEARED

/* _Noreturn void enclave_leave(void): an exit without return, the thread's state as it is. */
    .globl enclave_leave
    .type enclave_leave, @function
enclave_leave:
    CLEAR_EXTENDED_STATE
    mov %gs:THREAD_HOST_RSP, %rsp
    mov %gs:THREAD_HOST_RBP, %rbp
    mov %gs:THREAD_EXIT_TARGET, %rbx
    EEXIT_CLEARED

/*
 * _Noreturn void scrub_block_and_leave(uint64_t block): erase the thread block that we run on, as the last
 * thing in the enclave. What EEXIT needs is kept in registers.
 */
.macro ERASE from, size
    lea \from(%rdx), %rdi
    mov $(\size), %ecx
    rep stosb
.endm
    .globl scrub_block_and_leave
    .type scrub_block_and_leave, @function
scrub_block_and_leave:
    mov %rdi, %r8
    CLEAR_EXTENDED_STATE
    mov %r8, %rdx
    mov %gs:THREAD_HOST_RSP, %rsp
    mov %gs:THREAD_HOST_RBP, %rbp
    mov %gs:THREAD_EXIT_TARGET, %rbx
    xor %eax, %eax
    ERASE THREAD_SSA, (SSA_FRAMES * SSA_FRAME_SIZE)
    ERASE THREAD_TCB, THREAD_TCB_SIZE
    ERASE THREAD_EXCEPTION_STACK, (THREAD_EXCEPTION_STACK_TOP - THREAD_EXCEPTION_STACK)
    ERASE THREAD_STACK, (THREAD_STACK_TOP - THREAD_STACK)
    EEXIT_CLEARED

/*
 * void extended_state_save(void *area, uint64_t xfrm): standard format, as a signal frame holds it.
 * XSAVE leaves alone the header's XCOMP_BV and reserved fields and the old bits of XSTATE_BV, so clear it.
 */
    .globl extended_state_save
    .type extended_state_save, @function
extended_state_save:
    xor %eax, %eax
    mov %rax, 512(%rdi)
    mov %rax, 520(%rdi)
    mov %rax, 528(%rdi)
    mov %rax, 536(%rdi)
    mov %rax, 544(%rdi)
    mov %rax, 552(%rdi)
    mov %rax, 560(%rdi)
    mov %rax, 568(%rdi)
    mov %esi, %eax
    xor %edx, %edx
    xsave64 (%rdi)
    ret

/* void extended_state_restore(const void *area, uint64_t xfrm): #GP if the area's header or MXCSR is bad */
    .globl extended_state_restore
    .type extended_state_restore, @function
extended_state_restore:
    mov %esi, %eax
    xor %edx, %edx
    xrstor64 (%rdi)
    ret

    .section .rodata, "a", @progbits
    .balign 64
clean_extended_state:
    .zero 24
    .long 0x1f80 /* MXCSR is loaded even though XSTATE_BV says that SSE is in its initial state */
    .long 0
    .zero 480
    .zero 64
    .section .note.GNU-stack, "", @progbits
