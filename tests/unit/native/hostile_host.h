/* SPDX-License-Identifier: Apache-2.0 */
/* A host for the built image, without SGX and without a mate, that may enter it as no mate would. */
#ifndef TEEMATE_HOSTILE_HOST_H
#define TEEMATE_HOSTILE_HOST_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../../enclave/extended_state.h"
#include "../../../enclave/include/sgx_arch.h"

#define BASE COMPARTMENT_BASE(0)
#define STRANGE 99
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: %s is false\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

struct seen_registers { /* in the order of hostile_entry.S */
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rflags;
    uint8_t vectors[96];
};
extern struct seen_registers seen;
void test_eenter(uint64_t cssa, uint64_t ecall, uint64_t exchange, uint64_t target, uint64_t entry, uint64_t gs);
void test_gate(void);
extern char test_eexit_target[];
extern uint64_t entry_argument; /* RDX at entry */
extern uint64_t entry_flags;

extern struct labels {
    uint64_t entry, program_resume, program_resume_end, usercopy_start, usercopy_fault, frame_call, clock_try_tsc,
        clock_no_tsc;
} labels;
extern struct exchange exchange;
extern char copy_buffer[EXCHANGE_BUFFER_SIZE];
extern struct start_block start_block;

void map_image(const char *path, const char *sites);
void enter_with(unsigned slot, unsigned cssa, uint64_t ecall, uint64_t exchange_address, uint64_t target);
void enter(unsigned slot, unsigned cssa, uint64_t ecall);
int is_zero(const void *memory, size_t size);
void check_registers_cleared(void);
void check_left_with(uint32_t op);
void check_refused(unsigned slot, uint64_t ecall);
void start_until_log(void);

/* hostile_scrub.c */
void case_scrub(void);
void case_prepare(void);
void case_scrub_refused(void);
void case_scrub_impossible(void);
void case_scrub_while_inside(void);
void case_start_thread(void);
void case_start_thread_after_scrub(void);
#endif
