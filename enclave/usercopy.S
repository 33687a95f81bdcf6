/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses through pointers that the program gave, for usercopy.c. A fault between usercopy_start and usercopy_end makes
 * exception.c continue at usercopy_fault: so these are leaf functions which use no stack and no callee-saved
 * register.
 */
#define EFAULT 14
#define ENAMETOOLONG 36

    .text
    .globl usercopy_start
usercopy_start:

/* long usercopy_bytes(void *to, const void *from, size_t size) */
    .globl usercopy_bytes
    .type usercopy_bytes, @function
usercopy_bytes:
    mov %rdx, %rcx
    cmp $128, %rdx
    jb 1f
    rep movsb
    xor %eax, %eax
    ret
    /* REP MOVSB takes longer to start than this takes in all */
1:
    sub $8, %rcx
    jb 2f
    mov (%rsi), %rax
    mov %rax, (%rdi)
    add $8, %rsi
    add $8, %rdi
    jmp 1b
2:
    add $8, %rcx
    jz 4f
3:
    movzbl (%rsi), %eax
    mov %al, (%rdi)
    inc %rsi
    inc %rdi
    dec %rcx
    jnz 3b
4:
    xor %eax, %eax
    ret

/* long usercopy_string(char *to, const char *from, size_t size) */
    .globl usercopy_string
    .type usercopy_string, @function
usercopy_string:
    xor %eax, %eax
1:
    cmp %rdx, %rax
    jae 2f
    movzbl (%rsi,%rax), %ecx
    mov %cl, (%rdi,%rax)
    test %ecx, %ecx
    jz 3f
    inc %rax
    jmp 1b
2:
    mov $-ENAMETOOLONG, %rax
3:
    ret

/* long usercopy_load_u32(uint32_t *to, const uint32_t *from) */
    .globl usercopy_load_u32
    .type usercopy_load_u32, @function
usercopy_load_u32:
    mov (%rsi), %eax
    mov %eax, (%rdi)
    xor %eax, %eax
    ret

/* long usercopy_exchange_u32(uint32_t *at, uint32_t *expected, uint32_t desired) */
    .globl usercopy_exchange_u32
    .type usercopy_exchange_u32, @function
usercopy_exchange_u32:
    mov (%rsi), %eax
    mov %eax, %ecx
    lock cmpxchg %edx, (%rdi)
    mov %eax, (%rsi)
    sub %ecx, %eax
    setne %al
    movzbl %al, %eax
    ret

    .globl usercopy_end
usercopy_end:

    .globl usercopy_fault
usercopy_fault:
    mov $-EFAULT, %rax
    ret
    .section .note.GNU-stack, "", @progbits
