/* SPDX-License-Identifier: Apache-2.0 */
/* What all test programs in the guest share: results, and memory accesses that may fail. */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H
#include <stdint.h>

#define PAGE 4096UL

/* Print "ok - NAME" or "not ok - NAME"; count failures. */
void check(int good, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern int check_failures;

/* Call once in each process: lets peek and poke survive faults. */
void catch_faults(void);
/* 0, or the signal that the access raised. value may be NULL. */
int peek(uint64_t address, uint64_t *value);
int poke(uint64_t address, uint64_t value);

/* Run in a child, return its exit status, or 128 + signal. */
int in_child(int (*body)(void *argument), void *argument);

/* A small number in a file such as memory.current, or -1. */
long read_number(const char *path);
void write_text(const char *path, const char *text);
/* "1" or "0": the kernel's fault injection, which is set up, for the calling thread. */
void set_failing(const char *text);
#endif
