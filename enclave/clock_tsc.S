/* SPDX-License-Identifier: Apache-2.0 */
/*
 * int clock_try_tsc(void): 1, or 0 where RDTSC is not legal in an enclave (SGX 1): exception.c continues at clock_no_tsc
 * when it faults. The host should have told, but it can be wrong.
 */
    .text
    .globl clock_try_tsc
    .type clock_try_tsc, @function
clock_try_tsc:
    rdtsc
    mov $1, %eax
    ret

    .globl clock_no_tsc
    .type clock_no_tsc, @function
clock_no_tsc:
    xor %eax, %eax
    ret

    .section .note.GNU-stack, "", @progbits
