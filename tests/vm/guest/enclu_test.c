// SPDX-License-Identifier: Apache-2.0
/* ENCLU as the module emulates it: what the kernel's own selftests leave out. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"
#include "probe.h"
#include "tests.h"

#define SIGNALS 30
#define OUTER_GS 0x123456789000
#define VECTOR_UD 6
#define VECTOR_GP 13
#define VECTOR_PF 14
#define EXITINFO_HARDWARE 0x80000300
#define PF_SGX 0x8000
#define SYSCALL_SIZE 2
#define WRITE_SIZE 7
#define ENCLU_SIZE 3
#define SKIPPED_RAX 0x1234

#define RAISED (1ULL << 32)

#define EREPORT 0
#define EGETKEY 1
#define EACCEPT 5
#define EACCEPTCOPY 7
#define KEY_REPORT 3
#define REPORT_SIZE 432
#define REPORT_KEY_ID 384
#define KEY_SIZE 16
#define SECINFO_REG_RW 0x203
#define SECINFO_TRIM 0x410 /* modified */
#define SGX_PAGE_TYPE_TRIM 4

static uint64_t words[8] __attribute__((aligned(64)));
static struct sgx_enclave_run run;
static volatile int handled, seen_inside;

static void *at(uint64_t page)
{
    return (void *)AT(page);
}

static void test_bases(void)
{
    uint64_t gs = 0;

    syscall(SYS_arch_prctl, ARCH_SET_GS, OUTER_GS);
    probe_run(EENTER, 1, PROBE_BASES, words, &run);
    check(run.function == EEXIT, "enter and exit (%u, vector %u)", run.function, run.exception_vector);
    check(words[0] == AT(PROBE_FS + 1) && words[1] == AT(PROBE_GS + 1), "FS and GS are the enclave's inside");
    syscall(SYS_arch_prctl, ARCH_GET_GS, &gs);
    check(gs == OUTER_GS, "and the thread's own outside");
    syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)signal;
    (void)info;
    if ((uint64_t)registers[REG_RIP] >= BASE && (uint64_t)registers[REG_RIP] < AT(PROBE_PAGES))
        seen_inside = 1;
    /* One in the enclave has seen the counter move */
    if (words[0] && ++handled == SIGNALS)
        words[1] = 1;
}

static void test_signals(void)
{
    struct itimerval often = {.it_interval.tv_usec = 2000, .it_value.tv_usec = 2000}, never = {0};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

    memset(words, 0, sizeof(words));
    handled = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    probe_run(EENTER, 0, PROBE_SPIN, words, &run);
    setitimer(ITIMER_REAL, &never, NULL);
    check(run.function == EEXIT && handled >= SIGNALS, "signals interrupt a thread in the enclave");
    check(!seen_inside, "their handlers never see its registers");
    check(words[2] == 0, "which it finds unchanged (%lu differ)", (unsigned long)words[2]);
}

/*
 * An exception is reported, its handler in the enclave skips the instruction, and the thread goes on behind it. ERESUME
 * comes from where EENTER came from: the enclave has the stack pointer of then.
 */
static struct sgx_enclave_run run_and_skip(unsigned int tcs, uint64_t op, uint64_t size, uint64_t report[6])
{
    struct sgx_enclave_run reported;

    memset(report, 0, 6 * sizeof(*report));
    report[0] = SKIPPED_RAX;
    report[1] = size;
    probe_run(EENTER, tcs, op, words, &run);
    reported = run;
    if (run.function != ERESUME)
        return reported;
    probe_run(EENTER, tcs, PROBE_NOTHING, report, &run);
    check(run.function == EEXIT, "enter at CSSA = 1");
    probe_run(ERESUME, tcs, PROBE_NOTHING, words, &run);
    return reported;
}

static void test_system_call(void)
{
    struct sgx_enclave_run first;
    uint64_t report[6];

    memset(words, 0, sizeof(words));
    first = run_and_skip(2, PROBE_SYSCALL, SYSCALL_SIZE, report);
    check(first.function == ERESUME && first.exception_vector == VECTOR_UD,
          "a system call in the enclave is #UD (%u, %u)", first.function, first.exception_vector);
    check(run.function == EEXIT && words[0] == SKIPPED_RAX, "after which it goes on");
    check(report[2] == (EXITINFO_HARDWARE | VECTOR_UD), "EXITINFO says so (%lx)", (unsigned long)report[2]);
    check(syscall(SYS_getpid) == getpid(), "outside, system calls work");
}

static void test_page_fault(void)
{
    uint64_t address = AT(PROBE_PAGES - 1), report[6];
    struct sgx_enclave_run first;

    words[0] = address;
    first = run_and_skip(3, PROBE_WRITE, WRITE_SIZE, report);
    check(first.function == ERESUME && first.exception_vector == VECTOR_PF && first.exception_addr == address &&
              !(first.exception_error_code & PF_SGX),
          "what is not mapped is #PF (%u, %x)", first.exception_vector, first.exception_error_code);
    check(run.function == EEXIT && report[4] == address && report[5] == first.exception_error_code,
          "EXINFO says where and why (%lx, %lx)", (unsigned long)report[4], (unsigned long)report[5]);

    words[0] = AT(PROBE_TCS);
    first = run_and_skip(3, PROBE_WRITE, WRITE_SIZE, report);
    check(first.exception_vector == VECTOR_PF && first.exception_error_code == (PF_SGX | 7),
          "a TCS cannot be written to (%x)", first.exception_error_code);
    check(peek(AT(PROBE_TCS), NULL) != 0, "nor read from outside");
}

/* One leaf in the enclave: RAX, or the vector of the exception and RAISED */
static uint64_t leaf(uint64_t number, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
    struct sgx_enclave_run first;
    uint64_t report[6];

    memcpy(words, (uint64_t[]){number, rbx, rcx, rdx, ~0ULL}, 5 * sizeof(*words));
    first = run_and_skip(4, PROBE_LEAF, ENCLU_SIZE, report);
    return first.function == EEXIT ? words[4] : RAISED | first.exception_vector;
}

static void print_bytes(const char *name, const unsigned char *bytes, size_t size)
{
    printf("%s ", name);
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

static void test_report(void)
{
    unsigned char *target = at(PROBE_SCRATCH), *data = at(PROBE_SCRATCH + 1), *report = at(PROBE_SCRATCH + 2);
    unsigned char *request = at(PROBE_SCRATCH + 3), *key = at(PROBE_SCRATCH + 4);

    memset(data, 0x44, 64);
    check(leaf(EREPORT, (uint64_t)target, (uint64_t)data, (uint64_t)report) == 0, "EREPORT");
    check(!memcmp(report + 320, data, 64), "the report has the data");
    /* For itself: MRENCLAVE, ATTRIBUTES and MISCSELECT as the first report says them */
    memcpy(target, report + 64, 32);
    memcpy(target + 32, report + 48, 16);
    memcpy(target + 52, report + 16, 4);
    leaf(EREPORT, (uint64_t)target, (uint64_t)data, (uint64_t)report);

    request[0] = KEY_REPORT;
    memcpy(request + 40, report + REPORT_KEY_ID, 32);
    check(leaf(EGETKEY, (uint64_t)request, (uint64_t)key, 0) == 0, "EGETKEY");
    print_bytes("report", report, REPORT_SIZE);
    print_bytes("key", key, KEY_SIZE);
    check(leaf(EGETKEY, (uint64_t)request + 8, (uint64_t)key, 0) == (RAISED | VECTOR_GP),
          "EGETKEY of a misaligned request is #GP");
    request[0] = 77;
    check(leaf(EGETKEY, (uint64_t)request, (uint64_t)key, 0) == 256, "there is no key 77");
}

static void test_accept_copy(void)
{
    uint64_t *secinfo = at(PROBE_SCRATCH), value = 0;

    memset(secinfo, 0, 64);
    *secinfo = SECINFO_REG_RW;
    memset(at(PROBE_SCRATCH + 1), 0x77, PAGE);
    check(peek(AT(PROBE_ABSENT), NULL) != 0, "a page that was not accepted cannot be read");
    check(leaf(EACCEPTCOPY, AT(PROBE_SCRATCH), AT(PROBE_ABSENT), AT(PROBE_SCRATCH + 1)) == 0, "EACCEPTCOPY");
    check(!peek(AT(PROBE_ABSENT), &value) && value == 0x7777777777777777, "the page has the content");
    check(leaf(EACCEPTCOPY, AT(PROBE_SCRATCH), AT(PROBE_ABSENT), AT(PROBE_SCRATCH + 1)) == 19,
          "a page is accepted once only");
    check(leaf(99, 0, 0, 0) == (RAISED | VECTOR_GP), "an unknown leaf is #GP");
    check(leaf(EENTER, probe_tcs(5), AT(0), 0) == (RAISED | VECTOR_GP), "EENTER in an enclave is #GP");
}

struct spinner {
    unsigned int tcs;
    uint64_t block[8];
    pthread_t thread;
};

static void *spin(void *argument)
{
    struct spinner *self = argument;
    struct sgx_enclave_run own;

    probe_run(EENTER, self->tcs, PROBE_SPIN, self->block, &own);
    return (void *)(uintptr_t)own.function;
}

static void start_spinner(struct spinner *spinner, unsigned int tcs)
{
    memset(spinner, 0, sizeof(*spinner));
    spinner->tcs = tcs;
    pthread_create(&spinner->thread, NULL, spin, spinner);
    while (!*(volatile uint64_t *)spinner->block)
        sched_yield();
}

/* How it came out */
static unsigned int stop_spinner(struct spinner *spinner)
{
    void *result;

    *(volatile uint64_t *)&spinner->block[1] = 1;
    pthread_join(spinner->thread, &result);
    return (unsigned int)(uintptr_t)result;
}

static void test_busy_tcs(void)
{
    struct spinner spinner;

    start_spinner(&spinner, 5);
    /* It may be out, on the way to ERESUME, when this comes: then this gets in, and must change nothing */
    memset(words, 0, sizeof(words));
    do {
        probe_run(EENTER, 5, PROBE_BASES, words, &run);
    } while (run.function == EEXIT);
    check(run.function == EENTER && run.exception_vector == VECTOR_GP, "a busy TCS is #GP (%u, %u)", run.function,
          run.exception_vector);
    check(stop_spinner(&spinner) == EEXIT, "who was in it comes out");
}

static int change_page(int enclave, unsigned long request, uint64_t page, uint64_t type)
{
    /* The parameters of both ioctls begin with these */
    uint64_t arguments[] = {page * PAGE, PAGE, type, 0, 0};

    if (request == SGX_IOC_ENCLAVE_REMOVE_PAGES)
        arguments[2] = 0; /* count */
    return ioctl(enclave, request, arguments) ? errno : 0;
}

/* Have the enclave give up the frame of a thread that is inside, and try to remove it. 0 or errno */
static int remove_frame(int enclave, unsigned int tcs)
{
    uint64_t *secinfo = at(PROBE_SCRATCH), frame = PROBE_SSA + 2 * tcs;
    struct spinner spinner;
    int error;

    memset(secinfo, 0, 64);
    *secinfo = SECINFO_TRIM;
    start_spinner(&spinner, tcs);
    check(change_page(enclave, SGX_IOC_ENCLAVE_MODIFY_TYPES, frame, SGX_PAGE_TYPE_TRIM) == 0 &&
              leaf(EACCEPT, AT(PROBE_SCRATCH), AT(frame), 0) == 0,
          "an enclave gives up the frame of a thread that is inside");
    error = change_page(enclave, SGX_IOC_ENCLAVE_REMOVE_PAGES, frame, 0);
    stop_spinner(&spinner);
    if (error == EBUSY)
        check(change_page(enclave, SGX_IOC_ENCLAVE_REMOVE_PAGES, frame, 0) == 0, "it can be removed after that");
    return error;
}

/*
 * The kernel may be about to write the thread's state to its frame: nobody else may get the page. A thread that was
 * interrupted meanwhile is out, and cannot resume: then the next one is tried.
 */
static void test_remove_frame(int enclave)
{
    static const unsigned int tcs[] = {5, 6, 7, 0, 1, 2, 3};
    int error = 0;

    for (unsigned int i = 0; !error && i < sizeof(tcs) / sizeof(tcs[0]); i++)
        error = remove_frame(enclave, tcs[i]);
    check(error == EBUSY, "which cannot be removed as long as it is (%d)", error);
}

int enclu_test(void)
{
    int enclave = probe_build();

    check(enclave >= 0, "build (%d)", enclave);
    check(!probe_map(enclave), "map");
    if (check_failures)
        return 1;
    test_bases();
    test_signals();
    test_system_call();
    test_page_fault();
    test_report();
    test_accept_copy();
    test_busy_tcs();
    test_remove_frame(enclave);
    probe_unmap();
    close(enclave);
    return check_failures != 0;
}
