/* SPDX-License-Identifier: Apache-2.0 */
/* Extended state in the standard format of XSAVE, and the state after reset. */
    .text
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
    .globl clean_extended_state
    .type clean_extended_state, @object
clean_extended_state:
    .zero 24
    .long 0x1f80 /* MXCSR is loaded even though XSTATE_BV says that SSE is in its initial state */
    .long 0
    .zero 480
    .zero 64

    .section .note.GNU-stack, "", @progbits
