/* SPDX-License-Identifier: Apache-2.0 */
#include "entry_macros.inc"

    .text
/* uint64_t enclu_of_page(uint32_t leaf, const void *secinfo, uint64_t page) */
    .globl enclu_of_page
    .type enclu_of_page, @function
enclu_of_page:
    push %rbx
    mov %edi, %eax
    mov %rsi, %rbx
    mov %rdx, %rcx
    ENCLU_SITE
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits
