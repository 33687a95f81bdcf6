/* SPDX-License-Identifier: Apache-2.0 */
#include "entry_macros.inc"

/* The instruction and half of the NOP behind it, see ENCLU_SITE; inverted, so as not to be found anywhere else */
#define ENCLU_SITE_INVERTED ~0x66d7010f

    .text
/* uint64_t enclu_of_page(uint32_t leaf, const void *secinfo, uint64_t page) */
    .globl enclu_of_page
    .type enclu_of_page, @function
enclu_of_page:
    push %rbx
    mov %edi, %eax
    mov %rsi, %rbx
    mov %rdx, %rcx
enclu_of_page_site:
    ENCLU_SITE
    pop %rbx
    ret

/* int enclu_is_real(void) */
    .globl enclu_is_real
    .type enclu_is_real, @function
enclu_is_real:
    mov enclu_of_page_site(%rip), %ecx
    not %ecx
    xor %eax, %eax
    cmp $ENCLU_SITE_INVERTED, %ecx
    sete %al
    ret

    .section .note.GNU-stack, "", @progbits
