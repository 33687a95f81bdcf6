/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as a program sees them; the first argument names the case. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t seen;
static sigjmp_buf landing;
static char *fault_page;

static void install(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(number, &action, NULL);
}

static void count(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    seen++;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    printf("signal %d code %d at the page: %d\n", number, info->si_code, (char *)info->si_addr == fault_page + 123);
    siglongjmp(landing, 1);
}

static int case_handler(void)
{
    install(SIGUSR1, count, 0);
    for (int i = 0; i < 1000; i++)
        raise(SIGUSR1);
    printf("handled %d\n", (int)seen);
    return seen != 1000;
}

static void show_info(int number, siginfo_t *info, void *context)
{
    (void)context;
    printf("signal %d code %d pid is mine %d value %d\n", number, info->si_code, info->si_pid == getpid(),
           info->si_value.sival_int);
}

static int case_info(void)
{
    install(SIGRTMIN + 3, show_info, 0);
    union sigval value = {.sival_int = 4711};
    return sigqueue(getpid(), SIGRTMIN + 3, value);
}

/* Blocked signals wait; standard ones merge, real-time ones queue in order. */
static int order[16], order_count;
static void note(int number, siginfo_t *info, void *context)
{
    (void)context;
    order[order_count++] = number * 100 + info->si_value.sival_int;
}

static int case_mask(void)
{
    sigset_t all, old, pending;
    install(SIGUSR2, note, 0);
    install(SIGRTMIN + 1, note, 0);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGUSR2);
    for (int i = 1; i <= 3; i++)
        sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i});
    sigpending(&pending);
    printf("before: %d pending %d %d\n", order_count, sigismember(&pending, SIGUSR2),
           sigismember(&pending, SIGRTMIN + 1));
    sigprocmask(SIG_SETMASK, &old, NULL);
    for (int i = 0; i < order_count; i++)
        printf("got %d\n", order[i] - (order[i] / 100 == SIGUSR2 ? 0 : (SIGRTMIN + 1) * 100));
    return 0;
}

static int case_segv(void)
{
    install(SIGSEGV, on_fault, SA_NODEFER);
    fault_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 3; i++)
        if (!sigsetjmp(landing, 1))
            fault_page[123] = 1;
    printf("still here\n");
    return 0;
}

/* The handler repairs the cause and the instruction runs again. */
static void repair(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    mprotect((void *)((uintptr_t)info->si_addr & ~4095UL), 4096, PROT_READ | PROT_WRITE);
    seen++;
}

static int case_repair(void)
{
    install(SIGSEGV, repair, 0);
    char *pages = mmap(NULL, 64 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 64; i++)
        pages[i * 4096 + i] = (char)i;
    int sum = 0;
    for (int i = 0; i < 64; i++)
        sum += pages[i * 4096 + i];
    printf("faults %d sum %d\n", (int)seen, sum);
    return 0;
}

static void on_divide(int number, siginfo_t *info, void *context)
{
    (void)context;
    printf("signal %d code %d\n", number, info->si_code);
    siglongjmp(landing, 1);
}

static int case_divide(void)
{
    volatile int one = 1, zero = 0;
    install(SIGFPE, on_divide, 0);
    if (!sigsetjmp(landing, 1))
        printf("%d\n", one / zero);
    install(SIGILL, on_divide, 0);
    if (!sigsetjmp(landing, 1))
        __asm__ volatile("ud2");
    install(SIGTRAP, on_divide, 0);
    if (!sigsetjmp(landing, 1))
        __asm__ volatile("int3");
    return 0;
}

static char *alternate;
#define ALTERNATE_SIZE 65536

static void on_overflow(int number, siginfo_t *info, void *context)
{
    (void)context, (void)info;
    char here;
    printf("signal %d on the alternate stack %d\n", number, &here > alternate && &here < alternate + ALTERNATE_SIZE);
    siglongjmp(landing, 1);
}

static volatile int deep_enough = 1 << 30;

static int __attribute__((noinline)) deeper(int depth)
{
    volatile char space[4096];
    space[0] = (char)depth;
    return depth == deep_enough ? 0 : deeper(depth + 1) + space[0];
}

static int case_overflow(int handled)
{
    if (handled) {
        alternate = malloc(ALTERNATE_SIZE);
        stack_t stack = {.ss_sp = alternate, .ss_size = ALTERNATE_SIZE};
        sigaltstack(&stack, NULL);
        install(SIGSEGV, on_overflow, SA_ONSTACK);
        for (int i = 0; i < 2; i++)
            if (!sigsetjmp(landing, 1))
                deeper(0);
        printf("recovered\n");
        return 0;
    }
    return deeper(0);
}

static int case_alarm(void)
{
    sigset_t block, empty;
    install(SIGALRM, count, 0);
    sigemptyset(&empty);
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    sigprocmask(SIG_BLOCK, &block, NULL);
    alarm(1);
    sigsuspend(&empty);
    printf("alarm %d\n", (int)seen);
    sigprocmask(SIG_UNBLOCK, &block, NULL);
    struct itimerval timer = {.it_value.tv_usec = 20000, .it_interval.tv_usec = 20000};
    setitimer(ITIMER_REAL, &timer, NULL);
    while (seen < 5)
        pause();
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    printf("alarms %d or more\n", 5);
    return 0;
}

/* The timer goes on: an alarm that comes before the call has begun interrupts nothing. */
static int pipe_ends[2], second_writes;
static void write_later(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    if (++seen == 2 && second_writes)
        (void)!write(pipe_ends[1], "x", 1);
}

static int case_restart(int flags)
{
    (void)!pipe(pipe_ends);
    second_writes = flags == SA_RESTART;
    install(SIGALRM, write_later, flags);
    struct itimerval timer = {.it_value.tv_usec = 30000, .it_interval.tv_usec = 30000};
    setitimer(ITIMER_REAL, &timer, NULL);
    char byte = '-';
    ssize_t got = read(pipe_ends[0], &byte, 1);
    int error = got < 0 ? errno : 0;
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    printf("read %zd %c interrupted %d\n", got, byte, error == EINTR);
    return 0;
}

static void *in_thread(void *unused)
{
    (void)unused;
    while (!seen)
        usleep(1000);
    return NULL;
}

static pthread_t directed;
static volatile int on_right_thread;
static void directed_handler(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    on_right_thread = pthread_equal(pthread_self(), directed);
    seen = 1;
}

static int case_thread(void)
{
    install(SIGUSR1, directed_handler, 0);
    pthread_create(&directed, NULL, in_thread, NULL);
    pthread_kill(directed, SIGUSR1);
    pthread_join(directed, NULL);
    printf("on the thread it was sent to %d\n", on_right_thread);
    return 0;
}

/* Timer signals land anywhere in a computation, which must not notice. */
static int case_storm(void)
{
    install(SIGALRM, count, 0);
    struct itimerval timer = {.it_value.tv_usec = 200, .it_interval.tv_usec = 200};
    setitimer(ITIMER_REAL, &timer, NULL);
    double sum = 0;
    uint64_t hash = 14695981039346656037u;
    for (int i = 1; i < 20000000; i++) {
        sum += 1.0 / i;
        hash = (hash ^ (uint64_t)i) * 1099511628211u;
        if (i % 4000000 == 0)
            (void)getppid();
    }
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    printf("sum %.9f hash %llx interrupted %d\n", sum, (unsigned long long)hash, seen > 0);
    return 0;
}

static int case_wait(void)
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct timespec moment = {.tv_nsec = 20000000};
    printf("timed out %d\n", sigtimedwait(&set, &info, &moment) == -1 && errno == EAGAIN);
    raise(SIGUSR1);
    printf("waited %d\n", sigwaitinfo(&set, &info));
    return 0;
}

static int case_term(void)
{
    install(SIGTERM, count, 0);
    printf("ready\n");
    fflush(stdout);
    while (!seen)
        pause();
    printf("asked to end\n");
    return 3;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(name, "handler"))
        return case_handler();
    if (!strcmp(name, "info"))
        return case_info();
    if (!strcmp(name, "mask"))
        return case_mask();
    if (!strcmp(name, "segv"))
        return case_segv();
    if (!strcmp(name, "repair"))
        return case_repair();
    if (!strcmp(name, "divide"))
        return case_divide();
    if (!strcmp(name, "overflow"))
        return case_overflow(1);
    if (!strcmp(name, "overflow-unhandled"))
        return case_overflow(0);
    if (!strcmp(name, "alarm"))
        return case_alarm();
    if (!strcmp(name, "restart"))
        return case_restart(SA_RESTART);
    if (!strcmp(name, "no-restart"))
        return case_restart(0);
    if (!strcmp(name, "thread"))
        return case_thread();
    if (!strcmp(name, "storm"))
        return case_storm();
    if (!strcmp(name, "wait"))
        return case_wait();
    if (!strcmp(name, "term"))
        return case_term();
    fprintf(stderr, "signals: no case %s\n", name);
    return 2;
}
