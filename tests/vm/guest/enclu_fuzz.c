// SPDX-License-Identifier: Apache-2.0
/* Random ENCLUs, SSA frames, signals, mappings and SGX 2 ioctls. The kernel has to stay sane; the process need not. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"
#include "probe.h"
#include "tests.h"

#define THREADS 3
#define STEPS_OF_PROCESS 100
#define STACK_SIZE (64 * 1024)
#define SECONDS 5
#define TICK_MICROSECONDS 3000

static __thread uint32_t state;
static __thread sigjmp_buf back;
static int enclave, with_failures;
static volatile unsigned long survived;

static uint32_t random_number(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static uint32_t below(uint32_t limit)
{
    return random_number() % limit;
}

static uint64_t odd_number(void)
{
    static const uint64_t numbers[] = {
        0,          1,          0xfff,      0x1000,      1ULL << 47,          ~0ULL << 47,
        ~0ULL,      AT(0),      AT(16),     AT(1023),    0xffffffff81000000,  AT(1024),
        AT(8) + 64, AT(9) - 64, AT(63) + 8, ~0ULL << 12, 0x7ffffffff000 - 64, 0x202};

    return below(3) ? numbers[below(sizeof(numbers) / sizeof(*numbers))]
                    : (uint64_t)random_number() << 32 | random_number();
}

/* For the threads, which have a way back; not for the one that waits for them */
static void change_ticks(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(how, &set, NULL);
}

/* With the thread's own FS again, or there would be no way back */
static void on_signal(int signal)
{
    (void)signal;
    siglongjmp(back, 1);
}

static void spoil_frame(void)
{
    uint64_t *frame = (uint64_t *)AT(PROBE_SSA + below(16));
    unsigned int i, words = 1 + below(24);

    for (i = 0; i < words; i++)
        frame[below(2) ? 489 + below(23) : below(512)] = odd_number();
}

static void step_enclu(void)
{
    uint64_t leaf = below(8) ? 2 + below(2) : below(10);
    uint64_t tcs = below(8) ? probe_tcs(below(PROBE_TCS_COUNT)) : odd_number();
    uint64_t aep = below(8) ? probe_aep() : odd_number();
    uint64_t *words = (uint64_t *)AT(PROBE_SCRATCH + below(PROBE_SCRATCH_COUNT));
    uint64_t op = below(PROBE_OPS + 1);
    int i;

    if (below(16))
        for (i = 0; i < 5; i++)
            words[i] = below(2) ? below(8) : below(2) ? AT(below(256)) : odd_number();
    probe_enclu(leaf, tcs, aep, op, below(16) ? (uint64_t)words : odd_number());
}

static void step_vdso(void)
{
    static __thread uint64_t words[8];
    struct sgx_enclave_run run;
    int i;

    for (i = 0; i < 5; i++)
        words[i] = below(2) ? below(8) : below(2) ? AT(below(256)) : odd_number();
    words[1] |= 1; /* an end to PROBE_SPIN */
    probe_run(2 + below(2), below(PROBE_TCS_COUNT), below(PROBE_OPS), words, &run);
}

static void step_memory(void)
{
    uint64_t page = below(256);
    void *address = (void *)AT(page);
    size_t size = (1 + below(16)) * PAGE;

    switch (below(6)) {
    case 0:
        munmap(address, size);
        break;
    case 1:
    case 2:
        mmap(address, size, (int)below(8), MAP_SHARED | MAP_FIXED, enclave, 0);
        break;
    case 3:
        mprotect(address, size, (int)below(8));
        break;
    case 4:
        madvise(address, size, MADV_DONTNEED);
        break;
    default:
        probe_map(enclave);
    }
}

static void step_ioctl(void)
{
    uint64_t arguments[5] = {below(256) * PAGE, (1 + below(8)) * PAGE, 0, 0, 0};

    if (!below(6))
        arguments[below(5)] = odd_number();
    switch (below(4)) {
    case 0:
        arguments[2] = below(8);
        ioctl(enclave, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, arguments);
        break;
    case 1:
        /* Seldom, or nothing is left */
        if (below(4))
            break;
        arguments[2] = below(2) ? 1 : 4;
        ioctl(enclave, SGX_IOC_ENCLAVE_MODIFY_TYPES, arguments);
        break;
    case 2:
        ioctl(enclave, SGX_IOC_ENCLAVE_REMOVE_PAGES, arguments);
        break;
    default:
        ioctl(enclave, random_number(), arguments);
    }
}

static void *run_steps(void *seed)
{
    static __thread char stack[STACK_SIZE];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    volatile unsigned int step;

    state = (uint32_t)(uintptr_t)seed;
    sigaltstack(&alternate, NULL);
    if (with_failures)
        set_failing("1");
    for (step = 0; step < STEPS_OF_PROCESS; step++) {
        if (sigsetjmp(back, 1))
            continue;
        change_ticks(SIG_UNBLOCK);
        switch (below(8)) {
        case 0:
            step_memory();
            break;
        case 1:
            spoil_frame();
            break;
        case 2:
            step_ioctl();
            break;
        case 3:
        case 4:
            step_vdso();
            break;
        default:
            step_enclu();
        }
        survived++;
    }
    return NULL;
}

static void process(uint32_t seed)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM, SIGSYS};
    struct itimerval tick = {.it_interval.tv_usec = TICK_MICROSECONDS, .it_value.tv_usec = TICK_MICROSECONDS};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER | SA_ONSTACK};
    pthread_t threads[THREADS];
    unsigned long i;

    for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        sigaction(signals[i], &action, NULL);
    setitimer(ITIMER_VIRTUAL, &(struct itimerval){.it_value.tv_sec = SECONDS}, NULL);
    /* Those who loop in an enclave for ever end with the process */
    sigaction(SIGVTALRM, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    state = seed;
    change_ticks(SIG_BLOCK);
    if (below(2))
        setitimer(ITIMER_REAL, &tick, NULL);
    for (i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run_steps, (void *)(uintptr_t)(random_number() | 1));
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    _exit(0);
}

int enclu_fuzz(unsigned int steps, unsigned int seed, int failing)
{
    unsigned int processes = steps / (THREADS * STEPS_OF_PROCESS) + 1, i, ended_well = 0;
    int status;

    with_failures = failing;
    for (i = 0; i < processes; i++) {
        pid_t child = fork();

        if (!child) {
            enclave = probe_build();
            probe_map(enclave);
            process(seed * 7919 + i * 104729 + 1);
        }
        waitpid(child, &status, 0);
        ended_well += WIFEXITED(status);
    }
    enclave = probe_build();
    check(enclave >= 0 && !probe_map(enclave), "after %u processes (%u ended by themselves), build once more",
          processes, ended_well);
    {
        uint64_t words[8] = {0};
        struct sgx_enclave_run run;

        probe_run(EENTER, 0, PROBE_BASES, words, &run);
        check(run.function == EEXIT && words[0] == AT(PROBE_FS), "and enter it");
    }
    close(enclave);
    return check_failures != 0;
}
