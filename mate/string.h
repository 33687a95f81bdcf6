/* SPDX-License-Identifier: Apache-2.0 */
/* The C library functions that gcc may call by itself, and a few more. */
#ifndef TEEMATE_MATE_STRING_H
#define TEEMATE_MATE_STRING_H
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);
const char *strchr(const char *s, int c);
/* Decimal number without sign; returns -1 unless all of `s` is one of at most nine digits. */
long parse_number(const char *s);
#endif
