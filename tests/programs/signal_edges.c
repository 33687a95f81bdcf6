/* SPDX-License-Identifier: Apache-2.0 */
/* Signals at their edges: queues, nesting, alternate stacks, sigsuspend, a broken frame. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t seen;
static char alternate[65536];

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

static void show_order(int number, siginfo_t *info, void *context)
{
    (void)context;
    printf("signal +%d value %d\n", number - SIGRTMIN, info->si_value.sival_int);
}

static int case_queue(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < 3; i++) {
        install(SIGRTMIN + i, show_order, 0);
        sigaddset(&set, SIGRTMIN + i);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 4; i++)
        for (int s = 2; s >= 0; s--)
            sigqueue(getpid(), SIGRTMIN + s, (union sigval){.sival_int = i * 10 + s});
    sigset_t pending;
    sigpending(&pending);
    printf("pending %d %d\n", sigismember(&pending, SIGRTMIN), sigismember(&pending, SIGRTMIN + 5));
    siginfo_t info;
    int got = sigwaitinfo(&set, &info);
    printf("waited +%d value %d\n", got - SIGRTMIN, info.si_value.sival_int);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return 0;
}

static void reenter(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    seen++;
    if (seen < 5)
        raise(number);
}

static int case_nested(void)
{
    install(SIGUSR1, reenter, SA_NODEFER);
    raise(SIGUSR1);
    printf("depth %d\n", (int)seen);
    seen = 0;
    install(SIGUSR2, count, SA_RESETHAND);
    raise(SIGUSR2);
    struct sigaction action;
    sigaction(SIGUSR2, NULL, &action);
    printf("reset %d\n", action.sa_handler == SIG_DFL);
    return 0;
}

static void on_alternate(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    char here;
    stack_t stack;
    sigaltstack(NULL, &stack);
    ucontext_t *user = context;
    printf("on it %d flags %d link stack %d\n", &here >= alternate && &here < alternate + sizeof(alternate),
           stack.ss_flags, user->uc_stack.ss_sp == alternate);
    stack.ss_size = 4096;
    printf("change while on it: %s\n", sigaltstack(&stack, NULL) ? strerror(errno) : "done");
}

static int case_altstack(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)}, old;
    sigaltstack(&stack, &old);
    printf("old flags %d\n", old.ss_flags);
    install(SIGUSR1, on_alternate, SA_ONSTACK);
    raise(SIGUSR1);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, &old);
    printf("was %d\n", old.ss_sp == alternate);
    return 0;
}

static volatile int enough;
static void *kill_main(void *argument)
{
    while (!enough) {
        usleep(200);
        pthread_kill(*(pthread_t *)argument, SIGUSR1);
    }
    return NULL;
}

static int case_suspend(void)
{
    pthread_t self = pthread_self(), thread;
    sigset_t block, empty;
    install(SIGUSR1, count, 0);
    sigemptyset(&empty);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &block, NULL);
    pthread_create(&thread, NULL, kill_main, &self);
    int calls = 0, other = 0;
    struct timespec limit = {.tv_sec = 0, .tv_nsec = 0};
    while (calls < 10) {
        if (sigsuspend(&empty) != -1 || errno != EINTR)
            other++;
        calls++;
    }
    enough = 1;
    pthread_join(thread, NULL);
    while (sigtimedwait(&block, NULL, &limit) > 0)
        ;
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    printf("suspended %d other %d still blocked %d handled at least as often %d\n", calls, other,
           sigismember(&now, SIGUSR1), seen >= calls);
    printf("again: %s\n", sigtimedwait(&block, NULL, &limit) < 0 ? strerror(errno) : "a signal");
    return 0;
}

static int case_bad_frame(void)
{
    fflush(stdout);
    __asm__ volatile("mov $16, %%rsp; mov $15, %%eax; syscall" ::: "memory");
    return 0;
}

/* A call followed by what can be moved elsewhere, and preceded by what cannot. */
long edge_call(long number);
extern char edge_site[];
__asm__(".text\n"
        "edge_call: mov %rdi, %rax; jmp edge_site; ud2; ud2; ud2; ud2\n"
        "edge_site: syscall; mov %rax, %rdx; mov %rdx, %rax; ret\n");

static void go_behind_the_call(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)number, (void)info;
    registers[REG_RSP] -= 8;
    *(greg_t *)registers[REG_RSP] = registers[REG_RIP];
    registers[REG_RIP] = (greg_t)(edge_site + 2);
    registers[REG_RAX] = 4711;
}

/* sigreturn to the instruction after a system call whose site has been used before */
static int case_behind_call(void)
{
    for (int i = 0; i < 3; i++)
        if (edge_call(SYS_getpid) != getpid())
            puts("wrong process id");
    install(SIGUSR1, go_behind_the_call, 0);
    printf("result %ld\n", syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1));
    return 0;
}

static void go_nowhere(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = INT64_MIN; /* not canonical */
}

static void come_back(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    printf("signal %d, code %d, at %llx\n", number, info->si_code, registers[REG_RIP]);
    registers[REG_RIP] = (greg_t)_exit;
    registers[REG_RDI] = 0;
}

/* sigreturn to an address that cannot be: a fault of the program */
static int case_wild_return(void)
{
    install(SIGUSR1, go_nowhere, 0);
    install(SIGSEGV, come_back, 0);
    raise(SIGUSR1);
    return 1;
}

static const struct {
    const char *name;
    int (*run)(void);
} cases[] = {
    {"queue", case_queue},
    {"nested", case_nested},
    {"altstack", case_altstack},
    {"suspend", case_suspend},
    {"bad-frame", case_bad_frame},
    {"behind-call", case_behind_call},
    {"wild-return", case_wild_return},
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++)
        if (!strcmp(argv[1], cases[i].name))
            return cases[i].run();
    fprintf(stderr, "%s: no such case\n", argv[0]);
    return 2;
}
