/* SPDX-License-Identifier: Apache-2.0 */
/* The contract between the driver and the enclave that it enters. */
#ifndef FAKE_ENCLAVE_H
#define FAKE_ENCLAVE_H

/* One thread block at each, laid out as THREAD_* in layout.h */
#define BLOCK_0 0x10000
#define BLOCK_1 0x20000
#define FAKE_SIZE 0x40000
#define FAKE_ENCLAVE_SIZE 0x1000000

/* RDI at EENTER with CSSA = 0; RSI = struct report */
#define RUN_EXIT 1
#define RUN_SYSCALL 2
#define RUN_TOUCH 3 /* RDX = address */
#define RUN_HALT 4
#define RUN_DIVIDE 5
#define RUN_BREAKPOINT 6
#define RUN_CPUID 7
#define RUN_REPORT_KEY 8
#define RUN_ACCEPT 9
#define RUN_NOWHERE 10
#define RUN_PATTERN 11 /* until report.stop: registers must keep their values. RDX = rounds */
#define RUN_SPIN 12 /* for ever */
#define RUN_WIDE 13 /* as RUN_PATTERN, for AVX registers */
/* with CSSA = 1: RDX is added to SSA[0].RIP, or to a counter of signals */
#define RUN_SKIP 16
#define RUN_SIGNAL 17

#define REPORT_RUNS 0
#define REPORT_SIGNALS 8
#define REPORT_EXITINFO 16
#define REPORT_ADDRESS 24
#define REPORT_RIP 32
#define REPORT_VALUE 40
#define REPORT_STOP 48
#define REPORT_FSBASE 56
#define REPORT_ERROR_CODE 64

#ifndef __ASSEMBLER__
#include <stdint.h>
struct report {
    volatile uint64_t runs; /* ends of code at CSSA = 0 */
    volatile uint64_t signals; /* RUN_SIGNAL */
    volatile uint64_t exitinfo, address, rip;
    volatile uint64_t value;
    volatile uint64_t stop;
    volatile uint64_t fsbase;
    volatile uint64_t error_code;
};
extern char fake_entry[], fake_syscall[], fake_touch[], fake_halt[], fake_divide[], fake_breakpoint[], fake_cpuid[],
    fake_report_key[], fake_start[];
#endif
#endif
