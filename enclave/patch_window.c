/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86 cannot be decoded backwards. What precedes the call is found by decoding forwards from many starting
 * points: most fall into step with the real instruction stream within a few instructions. Only where all
 * that arrive at the call agree is there a window.
 */
#include "patch_window.h"

#include "decode.h"

#define SYSCALL_SIZE 2
#define LEAD_MIN 24 /* starting points: so far before the call, to be in step when it is reached */
#define LEAD_MAX 56
#define AGREEING_MIN 6
#define OPCODE_MOV_EAX 0xb8
#define IS_REX(byte) (((byte)&0xf0) == 0x40)

static int decode_at(const struct patch_text *text, uint32_t at, struct instruction *out)
{
    return decode_instruction(text->bytes + at, text->size - at, out);
}

static int is_movable(const struct instruction *instruction)
{
    return !(instruction->flags & (INSTRUCTION_BRANCH | INSTRUCTION_RIP_RELATIVE | INSTRUCTION_SYSCALL));
}

/* Boundaries in the last 32 bytes before the call, bit n: n + 1 bytes before it. 0 if it is not reached. */
static uint32_t boundaries_from(const struct patch_text *text, uint32_t at)
{
    uint32_t boundaries = 0;
    struct instruction instruction;
    while (at < text->syscall) {
        if (text->syscall - at <= 32)
            boundaries |= 1u << (text->syscall - at - 1);
        if (!decode_at(text, at, &instruction))
            return 0;
        at += instruction.size;
    }
    return at == text->syscall ? boundaries : 0;
}

/* The boundaries that all agree on, up to WINDOW_SIZE_MAX before the call; 0 if they do not. */
static uint32_t agreed_boundaries(const struct patch_text *text)
{
    uint32_t all = UINT32_MAX, any = 0, agreeing = 0;
    for (uint32_t lead = LEAD_MIN; lead <= LEAD_MAX && lead <= text->syscall; lead++) {
        uint32_t boundaries = boundaries_from(text, text->syscall - lead) & ((1u << WINDOW_SIZE_MAX) - 1);
        if (!boundaries)
            continue;
        all &= boundaries;
        any |= boundaries;
        agreeing++;
    }
    return agreeing >= AGREEING_MIN && all == any ? all : 0;
}

static int32_t load_i32(const uint8_t *at)
{
    return (int32_t)(at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24);
}

/* Does any byte sequence nearby, instruction or not, look like a jump to (start, end)? */
static int is_jumped_into(const struct patch_text *text, uint32_t start, uint32_t end)
{
    for (uint32_t at = 0; at + 2 <= text->size; at++) {
        uint8_t byte = text->bytes[at];
        int64_t target = -1;
        if ((byte & 0xf0) == 0x70 || byte == 0xeb || (byte & 0xfc) == 0xe0) {
            target = (int64_t)at + 2 + (int8_t)text->bytes[at + 1];
            if (target > start && target < end)
                return 1;
        }
        if ((byte == 0xe9 || byte == 0xe8) && at + 5 <= text->size)
            target = (int64_t)at + 5 + load_i32(text->bytes + at + 1);
        else if (byte == 0x0f && (text->bytes[at + 1] & 0xf0) == 0x80 && at + 6 <= text->size)
            target = (int64_t)at + 6 + load_i32(text->bytes + at + 2);
        if (target > start && target < end)
            return 1;
    }
    return 0;
}

/* `mov $number,%eax`: that RAX has the value is better evidence than any decoding. */
static int is_number_move(const struct patch_text *text, uint64_t rax)
{
    if (text->syscall < JUMP_SIZE + 1)
        return 0;
    const uint8_t *at = text->bytes + text->syscall - JUMP_SIZE;
    return at[0] == OPCODE_MOV_EAX && (uint64_t)(uint32_t)load_i32(at + 1) == rax && !IS_REX(at[-1]) && at[-1] != 0x66;
}

int patch_window_before(const struct patch_text *text, uint64_t rax, struct patch_window *out)
{
    struct instruction instruction;
    *out = (struct patch_window){.before = 1};
    if (is_number_move(text, rax)) {
        out->size = JUMP_SIZE;
    } else {
        uint32_t boundaries = agreed_boundaries(text) >> (JUMP_SIZE - 1);
        if (!boundaries)
            return 0;
        out->size = JUMP_SIZE + (uint32_t)__builtin_ctz(boundaries);
    }
    out->start = text->syscall - out->size;
    for (uint32_t at = out->start; at < text->syscall; at += instruction.size) {
        if (!decode_at(text, at, &instruction) || !is_movable(&instruction))
            return 0;
        out->single = instruction.size == out->size;
    }
    return !is_jumped_into(text, out->start, text->syscall);
}

int patch_window_after(const struct patch_text *text, struct patch_window *out)
{
    struct instruction instruction;
    *out = (struct patch_window){.start = text->syscall, .size = SYSCALL_SIZE};
    while (out->size < JUMP_SIZE) {
        if (!decode_at(text, out->start + out->size, &instruction) || !is_movable(&instruction))
            return 0;
        out->size += instruction.size;
    }
    return out->size <= WINDOW_SIZE_MAX && !is_jumped_into(text, out->start, out->start + out->size);
}
