/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enters the fake enclave through the real model: `driver CASE`. Exit status 0 if all is as the SDM and
 * the vDSO's contract say, else 1 and a line on stderr that names the check.
 */
#include <asm/signal.h>
#include <linux/mman.h>
#include <linux/time.h>

#include "enclave/include/layout.h"
#include "enclave/include/sgx_arch.h"
#include "fake_enclave.h"
#include "mate/enclave_call.h"
#include "mate/log.h"
#include "mate/sgx_platform.h"
#include "mate/signal.h"
#include "mate/string.h"
#include "mate/syscall.h"
#include "mate/thread.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            die_with(1, "line %d: %s", __LINE__, #condition);                                                          \
    } while (0)
#define XFRM_SSE 0x3
#define XFRM_AVX 0x7
#define STORM_INTERVAL_US 60
#define STORM_SIGNALS 3000
#define WINDOW_CYCLES 100000

static char block[BLOCK_SIZE] __attribute__((aligned(THREAD_ALIGNMENT)));
static char second_block[BLOCK_SIZE] __attribute__((aligned(THREAD_ALIGNMENT)));
static struct report report;
static const uint32_t never;
static volatile uint64_t handled, nested;
static volatile int may_nest;

static struct sgx_tcs *tcs_at(uint64_t offset)
{
    return (struct sgx_tcs *)(ENCLAVE_BASE + offset);
}

static void build_tcs(uint64_t offset)
{
    struct sgx_tcs *tcs = tcs_at(offset);

    memset(tcs, 0, sizeof(*tcs));
    tcs->ossa = offset + THREAD_SSA;
    tcs->nssa = SSA_FRAMES;
    tcs->oentry = (uint64_t)fake_entry - ENCLAVE_BASE;
    tcs->ogsbase = offset + THREAD_TCB;
    tcs->ofsbase = offset + THREAD_TCB;
}

static struct sgx_enclave_run enter_at(char *of, int level, uint64_t tcs, uint32_t function, uint64_t what,
                                       uint64_t argument)
{
    struct sgx_enclave_run run = {.tcs = tcs, .function = 99};
    struct enclave_call call = {
        .rdi = what,
        .rsi = (uint64_t)&report,
        .rdx = argument,
        .gate_stack = (uint64_t)of + BLOCK_GATE_STACKS + (uint64_t)level * BLOCK_GATE_STACK_SIZE,
        .run = &run,
        .refuse = &never,
        .function = function,
    };

    CHECK(enclave_call(&call) == 0);
    return run;
}

static struct sgx_enclave_run enter(uint32_t function, uint64_t what, uint64_t argument)
{
    return enter_at(block, 1, (uint64_t)tcs_at(BLOCK_0), function, what, argument);
}

/* As the mate's: told apart by the synthetic state of an AEX. */
static void on_signal(int signal, siginfo_t *info, struct ucontext *frame)
{
    struct sigcontext *context = &frame->uc_mcontext;
    int at_aep = context->rip == sgx_enclu_address && context->rax == ENCLU_ERESUME && context->rcx == context->rip;
    uint64_t before = report.signals;

    (void)signal;
    (void)info;
    handled++;
    if (!at_aep || !may_nest)
        return;
    enter_at(block, 2, context->rbx, ENCLU_EENTER, RUN_SIGNAL, 0);
    CHECK(report.signals == before + 1);
    nested++;
}

static void start(uint64_t xfrm)
{
    struct lease_grant grant = {.enclave_base = ENCLAVE_BASE,
                                .enclave_size = FAKE_ENCLAVE_SIZE,
                                .flags = LEASE_SOFTWARE_MODEL,
                                .xfrm = xfrm,
                                .pool = "test"};
    stack_t stack = {.ss_sp = block + BLOCK_ALTERNATE_STACK,
                     .ss_size = BLOCK_ALTERNATE_STACK_END - BLOCK_ALTERNATE_STACK};

    build_tcs(BLOCK_0);
    build_tcs(BLOCK_1);
    CHECK(!syscall2(__NR_sigaltstack, &stack, NULL));
    sgx_platform_start(&grant, 0);
    sgx_thread_start((struct sgx_thread *)(block + BLOCK_THREAD));
}

static void check_idle(void)
{
    CHECK(tcs_at(BLOCK_0)->cssa == 0);
    CHECK(tcs_at(BLOCK_0)->state == 0);
}

static void exit_cleanly(void)
{
    uint64_t fsbase;
    struct sgx_enclave_run run = enter(ENCLU_EENTER, RUN_EXIT, 0);

    __asm__ volatile("rdfsbase %0" : "=r"(fsbase));
    CHECK(run.function == ENCLU_EEXIT);
    CHECK(report.runs == 1);
    CHECK(report.fsbase == ENCLAVE_BASE + BLOCK_0 + THREAD_TCB);
    CHECK(fsbase == 0);
    check_idle();
}

static void bad_arguments(void)
{
    struct sgx_enclave_run run = {.tcs = (uint64_t)tcs_at(BLOCK_0)};

    CHECK(sgx_enter_enclave(0, 0, 0, ENCLU_EEXIT, 0, 0, &run) == -22);
    run.reserved[0] = 1;
    CHECK(sgx_enter_enclave(0, 0, 0, ENCLU_EENTER, 0, 0, &run) == -22);
    check_idle();
}

static void refused(uint64_t tcs, uint32_t function, unsigned vector)
{
    struct sgx_enclave_run run = enter_at(block, 1, tcs, function, RUN_EXIT, 0);

    CHECK(run.function == function);
    CHECK(run.exception_vector == vector);
}

static void refusals(void)
{
    struct sgx_tcs *tcs = tcs_at(BLOCK_0);

    tcs->state = 1; /* another processor's */
    refused((uint64_t)tcs, ENCLU_EENTER, VECTOR_GP);
    CHECK(tcs->state == 1);
    tcs->state = 0;
    tcs->cssa = SSA_FRAMES;
    refused((uint64_t)tcs, ENCLU_EENTER, VECTOR_GP);
    CHECK(tcs->state == 0 && tcs->cssa == SSA_FRAMES);
    tcs->cssa = 0;
    refused((uint64_t)tcs, ENCLU_ERESUME, VECTOR_GP);
    refused((uint64_t)tcs + 64, ENCLU_EENTER, VECTOR_GP);
    refused((uint64_t)&report & ~4095UL, ENCLU_EENTER, VECTOR_GP);
    refused(ENCLAVE_BASE + FAKE_SIZE, ENCLU_EENTER, VECTOR_PF); /* in ELRANGE, but no page is there */
    check_idle();
}

/* The exception comes out of sgx_enter_enclave, is served at CSSA = 1, and the program goes on. */
static void exception(uint64_t what, uint64_t argument, const char *rip, unsigned vector, unsigned type, int skip)
{
    struct sgx_enclave_run run = enter(ENCLU_EENTER, what, argument);

    CHECK(run.function == ENCLU_ERESUME);
    CHECK(run.exception_vector == vector);
    CHECK(tcs_at(BLOCK_0)->cssa == 1 && tcs_at(BLOCK_0)->state == 0);
    run = enter(ENCLU_EENTER, RUN_SKIP, (uint64_t)(int64_t)skip);
    CHECK(run.function == ENCLU_EEXIT);
    CHECK(report.exitinfo == (EXITINFO_VALID | type | vector));
    CHECK(report.rip == (uint64_t)rip);
    CHECK(tcs_at(BLOCK_0)->cssa == 1);
    run = enter(ENCLU_ERESUME, 0, 0);
    CHECK(run.function == ENCLU_EEXIT);
    check_idle();
}

static void exceptions(void)
{
    uint64_t unmapped = 0x123456789000;

    exception(RUN_SYSCALL, 0, fake_syscall, VECTOR_UD, EXITINFO_TYPE_HARDWARE, 2);
    CHECK(report.value == 39); /* the call was not made */
    exception(RUN_TOUCH, unmapped + 5, fake_touch, VECTOR_PF, EXITINFO_TYPE_HARDWARE, 3);
    CHECK(report.address == unmapped + 5 && report.error_code & 2);
    exception(RUN_TOUCH, 1UL << 63, fake_touch, VECTOR_GP, EXITINFO_TYPE_HARDWARE, 3);
    exception(RUN_HALT, 0, fake_halt, VECTOR_GP, EXITINFO_TYPE_HARDWARE, 1);
    exception(RUN_DIVIDE, 0, fake_divide, VECTOR_DE, EXITINFO_TYPE_HARDWARE, 2);
    CHECK(report.runs == 5);
}

/* Where the CPU lets CPUID fault, it is an illegal instruction inside, and works outside. */
static void cpuid(void)
{
    struct cpuid vendor;

    exception(RUN_CPUID, 0, fake_cpuid, VECTOR_UD, EXITINFO_TYPE_HARDWARE, 2);
    vendor = sgx_cpuid((struct sgx_thread *)(block + BLOCK_THREAD), 0, 0);
    CHECK(vendor.eax >= 7 && vendor.ebx && vendor.ecx && vendor.edx);
    exception(RUN_CPUID, 0, fake_cpuid, VECTOR_UD, EXITINFO_TYPE_HARDWARE, 2); /* it faults again */
}

static void nowhere(void)
{
    struct sgx_enclave_run run = enter(ENCLU_EENTER, RUN_NOWHERE, 0);

    CHECK(run.function == ENCLU_ERESUME && run.exception_vector == VECTOR_PF);
    CHECK(enter(ENCLU_EENTER, RUN_SKIP, 0).function == ENCLU_EEXIT);
    CHECK(report.rip == 0 && report.address == 0);
}

static void other_leaves(void)
{
    struct sgx_enclave_run run;

    report.value = 7;
    CHECK(enter(ENCLU_EENTER, RUN_ACCEPT, 0).function == ENCLU_EEXIT);
    CHECK(report.value == 0); /* ZF clear: success with RAX = 0 as EACCEPT reports it */
    run = enter(ENCLU_EENTER, RUN_REPORT_KEY, 0);
    CHECK(run.function == ENCLU_ERESUME && run.exception_vector == VECTOR_GP);
    CHECK(enter(ENCLU_EENTER, RUN_SKIP, 0).function == ENCLU_EEXIT);
    CHECK(report.rip == (uint64_t)fake_report_key);
}

/* #BP is left to signal handlers; EXITINFO still tells. */
static void on_breakpoint(int signal, siginfo_t *info, struct ucontext *frame)
{
    CHECK(signal == SIGTRAP && info->si_code > 0);
    CHECK(frame->uc_mcontext.rip == sgx_enclu_address && frame->uc_mcontext.rax == ENCLU_ERESUME);
    enter_at(block, 2, frame->uc_mcontext.rbx, ENCLU_EENTER, RUN_SKIP, 1);
    handled++;
}

static void breakpoint(void)
{
    CHECK(!sgx_sigaction(SIGTRAP, on_breakpoint, 0));
    CHECK(enter(ENCLU_EENTER, RUN_BREAKPOINT, 0).function == ENCLU_EEXIT);
    CHECK(handled == 1 && report.runs == 1);
    CHECK(report.exitinfo == (EXITINFO_VALID | EXITINFO_TYPE_SOFTWARE | VECTOR_BP));
    CHECK(report.rip == (uint64_t)fake_breakpoint);
    check_idle();
}

/* kill -SEGV is no page fault, whatever the stale vector in the signal frame says. */
static void sent_fault_signal(void)
{
    exception(RUN_TOUCH, 0x123456789000, fake_touch, VECTOR_PF, EXITINFO_TYPE_HARDWARE, 3);
    CHECK(!sgx_sigaction(SIGSEGV, on_signal, 0));
    CHECK(!syscall2(__NR_kill, syscall0(__NR_getpid), SIGSEGV));
    CHECK(handled == 1);
    CHECK(enter(ENCLU_EENTER, RUN_EXIT, 0).function == ENCLU_EEXIT);
    check_idle();
}

static void start_timer(void)
{
    struct itimerval timer = {.it_interval.tv_usec = STORM_INTERVAL_US, .it_value.tv_usec = STORM_INTERVAL_US};

    CHECK(!sgx_sigaction(SIGALRM, on_signal, 0));
    CHECK(!syscall3(__NR_setitimer, ITIMER_REAL, &timer, NULL));
}

/* Signals all the time while the enclave computes. */
static void storm(uint64_t what)
{
    may_nest = 1;
    start_timer();
    for (uint64_t runs = 1; handled < STORM_SIGNALS; runs++) {
        CHECK(enter(ENCLU_EENTER, what, 20000).function == ENCLU_EEXIT);
        CHECK(report.runs == runs);
        check_idle();
    }
    CHECK(nested > STORM_SIGNALS / 10);
}

static void storm_inside(void)
{
    storm(RUN_PATTERN);
}

static void storm_wide(void)
{
    storm(RUN_WIDE);
}

static void cycle(uint64_t number)
{
    struct sgx_enclave_run run;

    CHECK(enter(ENCLU_EENTER, RUN_EXIT, 0).function == ENCLU_EEXIT);
    CHECK(report.runs == 3 * number + 1);
    run = enter(ENCLU_EENTER, RUN_SYSCALL, 0);
    CHECK(run.function == ENCLU_ERESUME && run.exception_vector == VECTOR_UD);
    may_nest = 0; /* CSSA is 1: an AEX from here on leaves no frame to enter with */
    CHECK(enter(ENCLU_EENTER, RUN_SKIP, 2).function == ENCLU_EEXIT);
    CHECK(report.rip == (uint64_t)fake_syscall);
    may_nest = 1;
    CHECK(enter(ENCLU_ERESUME, 0, 0).function == ENCLU_EEXIT);
    CHECK(report.runs == 3 * number + 2 && report.value == 39);
    CHECK(enter(ENCLU_EENTER, RUN_ACCEPT, 0).function == ENCLU_EEXIT);
    CHECK(report.value == 0);
    CHECK(report.runs == 3 * number + 3);
    check_idle();
}

/* The same at every instruction of entries and exits, as chance has it. */
static void storm_windows(void)
{
    may_nest = 1;
    start_timer();
    for (uint64_t i = 0; i < WINDOW_CYCLES && handled < STORM_SIGNALS; i++)
        cycle(i);
    CHECK(handled > 10);
}

/* For the tracer, which interrupts each run of this function at another instruction. */
__attribute__((noinline)) void traced_cycle(uint64_t number)
{
    cycle(number);
}

static void traced(void)
{
    CHECK(!sgx_sigaction(SIGUSR1, on_signal, 0));
    may_nest = 1;
    for (uint64_t i = 0;; i++)
        traced_cycle(i);
}

long thread_spawn(uint64_t flags, void *stack_top, uint32_t *tid, void (*run)(void *), void *argument);
static uint32_t second_tid;

static void spin_in_second_block(void *argument)
{
    (void)argument;
    sgx_thread_start((struct sgx_thread *)(second_block + BLOCK_THREAD));
    enter_at(second_block, 1, (uint64_t)tcs_at(BLOCK_1), ENCLU_EENTER, RUN_SPIN, 0);
}

/* Killed in the enclave, a TCS stays busy until it is recovered; then it is enterable at CSSA = 1. */
static void recovery(void)
{
    struct sgx_tcs *tcs = tcs_at(BLOCK_1);

    CHECK(sgx_recover_tcs((uint64_t)tcs) == 0);
    CHECK(thread_spawn(0x50f00, second_block + BLOCK_STACK_END, &second_tid, spin_in_second_block, NULL) > 0);
    while (!tcs->state)
        syscall0(__NR_sched_yield);
    refused((uint64_t)tcs, ENCLU_EENTER, VECTOR_GP);
    CHECK(sgx_recover_tcs((uint64_t)tcs) == 1);
    CHECK(enter_at(block, 1, (uint64_t)tcs, ENCLU_EENTER, RUN_SIGNAL, 0).function == ENCLU_EEXIT);
    CHECK(tcs->cssa == 1 && report.signals == 1);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"exit", exit_cleanly},
    {"bad-arguments", bad_arguments},
    {"refusals", refusals},
    {"exceptions", exceptions},
    {"cpuid", cpuid},
    {"nowhere", nowhere},
    {"other-leaves", other_leaves},
    {"breakpoint", breakpoint},
    {"sent-fault-signal", sent_fault_signal},
    {"storm-inside", storm_inside},
    {"storm-wide", storm_wide},
    {"storm-windows", storm_windows},
    {"traced", traced},
    {"recovery", recovery},
};

void mate_main(uint64_t *stack)
{
    char **arguments = (char **)(stack + 1);

    start(strcmp(arguments[1], "storm-wide") ? XFRM_SSE : XFRM_AVX);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(cases[i].name, arguments[1]))
            continue;
        cases[i].run();
        syscall1(__NR_exit_group, 0);
    }
    die_with(2, "no case %s", arguments[1]);
}
