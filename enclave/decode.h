/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths of x86-64 instructions, and what the patcher must know to move one elsewhere. */
#ifndef TEEMATE_DECODE_H
#define TEEMATE_DECODE_H
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_SIZE_MAX 15

/* instruction.flags */
#define INSTRUCTION_RIP_RELATIVE 1 /* has a memory operand relative to RIP */
#define INSTRUCTION_BRANCH 2 /* jumps, calls, returns, loops, traps: anything that changes RIP by itself */
#define INSTRUCTION_SYSCALL 4

struct instruction {
    uint8_t size;
    uint8_t flags;
};

/* Decode the instruction that starts at `code`, of which `available` bytes may be read. 0: not a valid instruction. */
int decode_instruction(const uint8_t *code, size_t available, struct instruction *out);
#endif
