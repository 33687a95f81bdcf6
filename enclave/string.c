// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>

#include "string.h"

/* From this size on the microcoded string instructions beat a loop (their start costs some 30 cycles). */
#define STRING_INSTRUCTION_MIN 256

/* Eight bytes at any alignment, of any type. */
struct unaligned_word {
    uint64_t value;
} __attribute__((packed, may_alias));

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    if (size >= STRING_INSTRUCTION_MIN) {
        __asm__ volatile("rep movsb" : "+D"(out), "+S"(in), "+c"(size) : : "memory");
        return to;
    }
    for (; size >= 8; size -= 8, out += 8, in += 8)
        ((struct unaligned_word *)out)->value = ((const struct unaligned_word *)in)->value;
    while (size--)
        *out++ = *in++;
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    if ((uintptr_t)out - (uintptr_t)in >= size)
        return memcpy(to, from, size);
    /* The target overlaps the source from above: backwards, a word at a time. */
    while (size >= 8) {
        size -= 8;
        ((struct unaligned_word *)(out + size))->value = ((const struct unaligned_word *)(in + size))->value;
    }
    while (size--)
        out[size] = in[size];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    unsigned char *out = to;
    if (size >= STRING_INSTRUCTION_MIN) {
        __asm__ volatile("rep stosb" : "+D"(out), "+c"(size) : "a"(byte) : "memory");
        return to;
    }
    const uint64_t word = 0x0101010101010101 * (unsigned char)byte;
    for (; size >= 8; size -= 8, out += 8)
        ((struct unaligned_word *)out)->value = word;
    while (size--)
        *out++ = (unsigned char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *left = a, *right = b;
    for (size_t i = 0; i < size; i++)
        if (left[i] != right[i])
            return left[i] - right[i];
    return 0;
}

size_t strlen(const char *s)
{
    size_t size = 0;
    while (s[size])
        size++;
    return size;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t size)
{
    for (; size; size--, a++, b++)
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    return 0;
}
