/* SPDX-License-Identifier: Apache-2.0 */
/* Which instructions around a system call may be replaced by a jump. Pure: works on a copy of the text. */
#ifndef TEEMATE_PATCH_WINDOW_H
#define TEEMATE_PATCH_WINDOW_H
#include <stddef.h>
#include <stdint.h>

#define JUMP_SIZE 5
#define WINDOW_SIZE_MAX 20
#define NEIGHBOURHOOD 256 /* bytes looked at on either side of the call */

struct patch_text {
    uint8_t bytes[2 * NEIGHBOURHOOD];
    uint32_t size; /* bytes that are there */
    uint32_t syscall; /* where the call is in them */
};

/*
 * `before` windows end where the call begins, and the jump replaces only what precedes it: who jumps to the
 * call itself still traps. The others begin with the call.
 */
struct patch_window {
    uint32_t start, size;
    int before;
    int single; /* the window is one instruction: no thread can be in its middle */
};

/* 1 if there is one. rax: at the call, as evidence for a preceding move of the number. */
int patch_window_before(const struct patch_text *text, uint64_t rax, struct patch_window *out);
int patch_window_after(const struct patch_text *text, struct patch_window *out);
#endif
