// SPDX-License-Identifier: Apache-2.0
/* Threads that are in an enclave when their process is killed, forks, executes, loses its mappings or is traced. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"
#include "probe.h"
#include "tests.h"

#define STEPS 20
#define NO_ENCLAVE_STATUS 3

static volatile uint64_t *words; /* shared with children */
static struct sgx_enclave_run run;

static void forget(void)
{
    memset((void *)words, 0, PAGE);
}

static void wait_until_inside(void)
{
    uint64_t before = words[0];

    while (words[0] == before)
        sched_yield();
}

static pid_t spin_in_child(unsigned int tcs)
{
    pid_t child = fork();

    if (child)
        return child;
    probe_run(EENTER, tcs, PROBE_SPIN, (uint64_t *)words, &run);
    _exit(run.function == EEXIT && !words[2] ? 0 : 1);
}

static void test_kill(void)
{
    uint64_t nothing[8] = {0};
    pid_t child;
    int status;

    forget();
    /* Not in a function of its own: ERESUME has to come from where EENTER came from */
    child = fork();
    if (!child) {
        probe_run(EENTER, 0, PROBE_SPIN, (uint64_t *)words, &run);
        _exit(1);
    }
    wait_until_inside();
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a thread is killed in the enclave");
    probe_run(EENTER, 0, PROBE_NOTHING, nothing, &run);
    check(run.function == EEXIT && nothing[2] == 0 && nothing[3] >= AT(PROBE_CODE) && nothing[3] < AT(PROBE_TCS),
          "its TCS is idle and its frame is there (RIP %lx)", (unsigned long)nothing[3]);
    words[1] = 1;
    probe_run(ERESUME, 0, PROBE_NOTHING, nothing, &run);
    check(run.function == EEXIT && words[2] == 1, "another process carries on where it was (only RAX differs: %lu)",
          (unsigned long)words[2]);
}

static void *spin(void *unused)
{
    (void)unused;
    probe_run(EENTER, 1, PROBE_SPIN, (uint64_t *)words, &run);
    return NULL;
}

static int unmap_under_thread(void *unused)
{
    pthread_t thread;

    (void)unused;
    forget();
    pthread_create(&thread, NULL, spin, NULL);
    wait_until_inside();
    probe_unmap();
    pthread_join(thread, NULL);
    return run.function == ERESUME && run.exception_vector == 14 ? 0 : 1;
}

static int execute_beside_thread(void *unused)
{
    pthread_t thread;

    (void)unused;
    forget();
    pthread_create(&thread, NULL, spin, NULL);
    wait_until_inside();
    execl("/proc/self/exe", "vmtest", "no-enclave", NULL);
    return 1;
}

static int exit_beside_thread(void *unused)
{
    pthread_t thread;

    (void)unused;
    forget();
    pthread_create(&thread, NULL, spin, NULL);
    wait_until_inside();
    exit(7);
}

static int fork_beside_thread(void *unused)
{
    uint64_t mine[8] = {0};
    struct sgx_enclave_run own;
    pthread_t thread;
    pid_t child;
    int status;

    (void)unused;
    forget();
    pthread_create(&thread, NULL, spin, NULL);
    wait_until_inside();
    child = fork();
    if (!child) {
        probe_run(EENTER, 2, PROBE_BASES, mine, &own);
        _exit(own.function == EEXIT && mine[0] == AT(PROBE_FS + 2) ? 0 : 1);
    }
    waitpid(child, &status, 0);
    words[1] = 1;
    pthread_join(thread, NULL);
    return status || run.function != EEXIT || words[2];
}

static void test_trace(void)
{
    struct user_regs_struct registers = {0};
    int status, outside = 1;
    pid_t child;

    forget();
    child = spin_in_child(3);
    wait_until_inside();
    check(!ptrace(PTRACE_SEIZE, child, NULL, NULL) && !ptrace(PTRACE_INTERRUPT, child, NULL, NULL), "trace");
    waitpid(child, &status, 0);
    for (int i = 0; i < STEPS; i++) {
        ptrace(PTRACE_GETREGS, child, NULL, &registers);
        outside &= registers.rip < AT(0) || registers.rip >= AT(PROBE_PAGES);
        ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
        /* Its ERESUME is one step, which ends when it comes out again: let it */
        words[1] = 1;
        waitpid(child, &status, 0);
        if (!WIFSTOPPED(status))
            break;
    }
    check(outside, "a tracer never sees registers of the enclave");
    ptrace(PTRACE_DETACH, child, NULL, NULL);
    if (WIFSTOPPED(status))
        waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "who was stepped through comes out well (%x)",
          (unsigned int)status);
}

int enclu_death_test(void)
{
    int enclave = probe_build();

    words = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(enclave >= 0 && !probe_map(enclave), "build and map (%d)", enclave);
    if (check_failures)
        return 1;
    test_kill();
    check(in_child(unmap_under_thread, NULL) == 0, "whose mappings go gets #PF");
    close(enclave);
    probe_unmap();

    enclave = probe_build();
    probe_map(enclave);
    check(in_child(execute_beside_thread, NULL) == NO_ENCLAVE_STATUS, "a process executes while a thread is inside");
    close(enclave);
    probe_unmap();

    enclave = probe_build();
    probe_map(enclave);
    check(in_child(exit_beside_thread, NULL) == 7, "a process ends while a thread is inside");
    test_trace();
    close(enclave);
    probe_unmap();

    enclave = probe_build();
    probe_map(enclave);
    check(in_child(fork_beside_thread, NULL) == 0, "a process forks while a thread is inside, and both go on");
    close(enclave);
    probe_unmap();
    return check_failures != 0;
}

int no_enclave(void)
{
    return peek(AT(0), NULL) ? NO_ENCLAVE_STATUS : 1;
}
