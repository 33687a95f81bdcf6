/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that lies, for running the LibOS's system call code natively under the address sanitizer. Program
 * buffers come from malloc at their exact size, so a byte written beyond what was asked for is reported.
 */
#ifndef FAKE_H
#define FAKE_H
#include <stdint.h>

#include "syscall.h"

#define FAKE_HIDDEN_FIRST 1000
#define FAKE_HIDDEN_LAST 1010

/* What the host does with the next calls. It may write anywhere in host_buffer(). */
typedef long (*fake_answer)(uint32_t number, const uint64_t args[6]);
extern fake_answer fake_host;

/* Overwrite the exchange buffer after every copy out of it: a length that is read twice is then a wild one. */
extern int fake_scribbles;

extern struct compartment fake_compartment;

/* Make the call as the program would. Pointers count as numbers. */
struct fake_arguments {
    uint64_t a[6];
};
long fake_call(syscall_handler handler, uint32_t number, struct fake_arguments arguments);
#define CALL(name, ...) fake_call(sys_##name, __NR_##name, (struct fake_arguments){{__VA_ARGS__}})

/* A fresh program buffer filled with FAKE_FILL. Few need to be released: each case is a process. */
#define FAKE_FILL 0x5a
void *fake_program_buffer(uint64_t size);
void fake_release(void *program_buffer);
int fake_untouched(const void *buffer, uint64_t size);

#define EXPECT(condition) fake_expect((condition), #condition, __FILE__, __LINE__)
void fake_expect(int holds, const char *condition, const char *file, int line);
#endif
