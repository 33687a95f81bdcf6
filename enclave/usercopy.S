/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses through pointers that the program gave. A fault between usercopy_start and usercopy_end makes
 * exception.c continue at usercopy_fault: so these are leaf functions which use no stack and no callee-saved
 * register.
 */
#define EFAULT 14
#define ENAMETOOLONG 36

    .text
    .globl usercopy_start
usercopy_start:

/* long copy_from_program(void *to, const void *from, size_t size), and copy_to_program: the same */
    .globl copy_from_program
    .type copy_from_program, @function
    .globl copy_to_program
    .type copy_to_program, @function
copy_from_program:
copy_to_program:
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

/* long copy_string_from_program(char *to, const char *from, size_t size) */
    .globl copy_string_from_program
    .type copy_string_from_program, @function
copy_string_from_program:
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

/* long load_u32_from_program(uint32_t *to, const uint32_t *from) */
    .globl load_u32_from_program
    .type load_u32_from_program, @function
load_u32_from_program:
    mov (%rsi), %eax
    mov %eax, (%rdi)
    xor %eax, %eax
    ret

/* long exchange_u32_in_program(uint32_t *at, uint32_t *expected, uint32_t desired) */
    .globl exchange_u32_in_program
    .type exchange_u32_in_program, @function
exchange_u32_in_program:
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
