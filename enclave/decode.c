/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instruction is: prefixes, opcode (one of four maps), ModRM and what it asks for, immediate. The
 * tables say for each opcode whether it has a ModRM byte, its immediate, and whether it is valid in 64-bit
 * mode. Order of columns as in the SDM, vol. 2, appendix A.
 */
#include "decode.h"

/* One letter an opcode:
 *   .  nothing follows             m  ModRM
 *   b  imm8                        B  ModRM, imm8
 *   z  imm16/32                    Z  ModRM, imm16/32
 *   w  imm16                       v  imm16/32/64 (mov)
 *   o  offset of 64 bits (moffs)   e  imm16, imm8 (enter)
 *   j  relative jump of 8 bits     J  relative jump of 32 bits
 *   !  branch, nothing follows     W  branch, imm16
 *   f  ModRM, imm8 if reg < 2 (F6) F  the same with imm16/32 (F7)
 *   c  ModRM, branch for reg 2..5 (FF)
 *   p  prefix or escape            x  invalid
 */
static const char one_byte[256 + 1] = "mmmmbzxxmmmmbzxp" /* 00 */
                                      "mmmmbzxxmmmmbzxx" /* 10 */
                                      "mmmmbzpxmmmmbzpx" /* 20 */
                                      "mmmmbzpxmmmmbzpx" /* 30 */
                                      "pppppppppppppppp" /* 40: REX */
                                      "................" /* 50 */
                                      "xxpmppppzZbB...." /* 60; 62: EVEX */
                                      "jjjjjjjjjjjjjjjj" /* 70 */
                                      "BZxBmmmmmmmmmmmm" /* 80 */
                                      "..........x....." /* 90 */
                                      "oooo....bz......" /* a0 */
                                      "bbbbbbbbvvvvvvvv" /* b0 */
                                      "BBW!ppBZe.W!!jx!" /* c0; c4, c5: VEX */
                                      "mmmmxxx.mmmmmmmm" /* d0 */
                                      "jjjjbbbbJJxj...." /* e0 */
                                      "p!pp!.fF......mc" /* f0 */;

/* 0F xx */
static const char two_byte[256 + 1] = "mmmmx!.!..x!xm.B" /* 00; 05: SYSCALL, 0b: UD2 */
                                      "mmmmmmmmmmmmmmmm" /* 10 */
                                      "mmmmxxxxmmmmmmmm" /* 20 */
                                      "....!!x.pxpxxxxx" /* 30; 38, 3a: escapes */
                                      "mmmmmmmmmmmmmmmm" /* 40 */
                                      "mmmmmmmmmmmmmmmm" /* 50 */
                                      "mmmmmmmmmmmmmmmm" /* 60 */
                                      "BBBBmmm.mmxxmmmm" /* 70 */
                                      "JJJJJJJJJJJJJJJJ" /* 80 */
                                      "mmmmmmmmmmmmmmmm" /* 90 */
                                      "...mBmxx...mBmmm" /* a0 */
                                      "mmmmmmmmmmBmmmmm" /* b0 */
                                      "mmBmBBBm........" /* c0 */
                                      "mmmmmmmmmmmmmmmm" /* d0 */
                                      "mmmmmmmmmmmmmmmm" /* e0 */
                                      "mmmmmmmmmmmmmmmm" /* f0 */;

#define REX_W 8
#define PREFIX_COUNT_MAX 14

struct cursor {
    const uint8_t *code;
    size_t available, at;
    int operand16, address32, rex_w;
};

/* The next byte; a run beyond the end shows in `at`, which done() checks. */
static uint8_t next(struct cursor *cursor)
{
    uint8_t byte = cursor->at < cursor->available ? cursor->code[cursor->at] : 0;
    cursor->at++;
    return byte;
}

static uint8_t peek(const struct cursor *cursor)
{
    return cursor->at < cursor->available ? cursor->code[cursor->at] : 0;
}

/* ModRM, SIB and displacement. Returns the ModRM byte. */
static uint8_t skip_modrm(struct cursor *cursor, struct instruction *out)
{
    uint8_t modrm = next(cursor), mode = modrm >> 6, rm = modrm & 7;
    if (mode == 3)
        return modrm;
    if (rm == 4) {
        uint8_t sib = next(cursor);
        if (mode == 0 && (sib & 7) == 5)
            cursor->at += 4;
    } else if (mode == 0 && rm == 5) {
        out->flags |= INSTRUCTION_RIP_RELATIVE;
        cursor->at += 4;
    }
    if (mode == 1)
        cursor->at += 1;
    else if (mode == 2)
        cursor->at += 4;
    return modrm;
}

static int word_or_long(const struct cursor *cursor)
{
    return cursor->operand16 && !cursor->rex_w ? 2 : 4;
}

/* What follows the opcode. Returns 0 if it is invalid. */
static int skip_operands(struct cursor *cursor, char kind, struct instruction *out)
{
    uint8_t reg;
    switch (kind) {
    case '.':
        return 1;
    case '!':
        out->flags |= INSTRUCTION_BRANCH;
        return 1;
    case 'm':
        skip_modrm(cursor, out);
        return 1;
    case 'B':
        skip_modrm(cursor, out);
        cursor->at += 1;
        return 1;
    case 'Z':
        skip_modrm(cursor, out);
        cursor->at += word_or_long(cursor);
        return 1;
    case 'b':
        cursor->at += 1;
        return 1;
    case 'z':
        cursor->at += word_or_long(cursor);
        return 1;
    case 'v':
        cursor->at += cursor->rex_w ? 8 : word_or_long(cursor);
        return 1;
    case 'o':
        cursor->at += cursor->address32 ? 4 : 8;
        return 1;
    case 'W':
        out->flags |= INSTRUCTION_BRANCH;
        cursor->at += 2;
        return 1;
    case 'e':
        cursor->at += 3;
        return 1;
    case 'j':
        out->flags |= INSTRUCTION_BRANCH;
        cursor->at += 1;
        return 1;
    case 'J':
        out->flags |= INSTRUCTION_BRANCH;
        cursor->at += 4;
        return 1;
    case 'f':
    case 'F':
        reg = skip_modrm(cursor, out) >> 3 & 7;
        if (reg < 2)
            cursor->at += kind == 'f' ? 1 : word_or_long(cursor);
        return 1;
    case 'c':
        reg = skip_modrm(cursor, out) >> 3 & 7;
        if (reg >= 2 && reg <= 5)
            out->flags |= INSTRUCTION_BRANCH;
        return reg != 7;
    default:
        return 0;
    }
}

/* VEX and EVEX instructions all have a ModRM byte (but vzeroupper); only the immediate depends on the opcode. */
static int skip_vector(struct cursor *cursor, int map, struct instruction *out)
{
    uint8_t opcode = next(cursor);
    switch (map) {
    case 1:
        if (opcode == 0x77) /* vzeroupper, vzeroall */
            return 1;
        return skip_operands(cursor,
                             (opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 || opcode == 0xc4 || opcode == 0xc5 ||
                                     opcode == 0xc6
                                 ? 'B'
                                 : 'm',
                             out);
    case 2:
    case 5:
    case 6:
        return skip_operands(cursor, 'm', out);
    case 3:
        return skip_operands(cursor, 'B', out);
    default:
        return 0;
    }
}

static int skip_prefixes(struct cursor *cursor)
{
    for (int count = 0; count < PREFIX_COUNT_MAX; count++) {
        uint8_t byte = peek(cursor);
        switch (byte) {
        case 0x66:
            cursor->operand16 = 1;
            break;
        case 0x67:
            cursor->address32 = 1;
            break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0xf0:
        case 0xf2:
        case 0xf3:
            break;
        default:
            return 1;
        }
        cursor->at++;
    }
    return 0;
}

static int skip_two_byte(struct cursor *cursor, struct instruction *out)
{
    uint8_t opcode = next(cursor);
    if (opcode == 0x38) {
        next(cursor);
        return skip_operands(cursor, 'm', out);
    }
    if (opcode == 0x3a) {
        next(cursor);
        return skip_operands(cursor, 'B', out);
    }
    if (opcode == 0x05)
        out->flags |= INSTRUCTION_SYSCALL;
    return skip_operands(cursor, two_byte[opcode], out);
}

static int skip_instruction(struct cursor *cursor, struct instruction *out)
{
    if (!skip_prefixes(cursor))
        return 0;
    uint8_t opcode = next(cursor);
    if (opcode == 0xc5) {
        next(cursor);
        return skip_vector(cursor, 1, out);
    }
    if (opcode == 0xc4) {
        uint8_t map = next(cursor) & 0x1f;
        next(cursor);
        return skip_vector(cursor, map, out);
    }
    if (opcode == 0x62) {
        uint8_t map = next(cursor) & 7;
        next(cursor);
        next(cursor);
        return skip_vector(cursor, map, out);
    }
    if (opcode == 0x8f && peek(cursor) & 0x38)
        return 0; /* XOP */
    if ((opcode & 0xf0) == 0x40) {
        cursor->rex_w = (opcode & REX_W) != 0;
        opcode = next(cursor);
        if (opcode != 0x0f && one_byte[opcode] == 'p')
            return 0; /* a prefix after REX */
    }
    return opcode == 0x0f ? skip_two_byte(cursor, out) : skip_operands(cursor, one_byte[opcode], out);
}

int decode_instruction(const uint8_t *code, size_t available, struct instruction *out)
{
    struct cursor cursor = {.code = code, .available = available};
    *out = (struct instruction){0};
    if (!skip_instruction(&cursor, out) || cursor.at > available || cursor.at > INSTRUCTION_SIZE_MAX)
        return 0;
    out->size = (uint8_t)cursor.at;
    return 1;
}
