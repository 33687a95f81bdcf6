/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracer DRIVER CYCLE_ADDRESS RESTORER_ADDRESS [FIRST END]...: run `DRIVER traced` and interrupt its n-th cycle at the
 * n-th instruction boundary that lies in one of the ranges, until a cycle has no n-th one. Prints how many there were.
 * Exit status 0 if the driver, which checks each cycle, is then still alive. Signal handlers are not stepped through:
 * they run with all signals blocked.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define BREAKPOINT 0xcc

struct range {
    unsigned long first, end;
};

static pid_t driver;
struct breakpoint {
    unsigned long address, original;
};
static struct breakpoint cycle, restorer;
static struct range ranges[8];
static int range_count;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "tracer: %s\n", what);
    kill(driver, SIGKILL);
    exit(1);
}

static struct user_regs_struct registers(void)
{
    struct user_regs_struct all;

    if (ptrace(PTRACE_GETREGS, driver, 0, &all))
        fail("PTRACE_GETREGS");
    return all;
}

static void set_breakpoint(const struct breakpoint *breakpoint, int on)
{
    unsigned long word = on ? (breakpoint->original & ~0xffUL) | BREAKPOINT : breakpoint->original;

    if (ptrace(PTRACE_POKETEXT, driver, breakpoint->address, word))
        fail("PTRACE_POKETEXT");
}

static struct breakpoint breakpoint_at(const char *address)
{
    struct breakpoint breakpoint = {.address = strtoul(address, NULL, 16)};

    errno = 0;
    breakpoint.original = ptrace(PTRACE_PEEKTEXT, driver, breakpoint.address, 0);
    if (errno)
        fail("PTRACE_PEEKTEXT");
    set_breakpoint(&breakpoint, 1);
    return breakpoint;
}

/* Go on with the signal and wait for the next stop. Returns its signal. */
static int go(int request, int signal)
{
    int status;

    if (ptrace(request, driver, 0, signal) || waitpid(driver, &status, 0) != driver)
        fail("ptrace");
    if (!WIFSTOPPED(status)) {
        fprintf(stderr, "tracer: the driver ended with status %x\n", status);
        exit(1);
    }
    return WSTOPSIG(status);
}

static int is_interesting(unsigned long rip)
{
    for (int i = 0; i < range_count; i++)
        if (rip >= ranges[i].first && rip < ranges[i].end)
            return 1;
    return 0;
}

static int is_at(const struct breakpoint *breakpoint)
{
    struct user_regs_struct all = registers();

    if (all.rip != breakpoint->address + 1)
        return 0;
    all.rip--;
    if (ptrace(PTRACE_SETREGS, driver, 0, &all))
        fail("PTRACE_SETREGS");
    return 1;
}

static int step_over(const struct breakpoint *breakpoint)
{
    int signal;

    set_breakpoint(breakpoint, 0);
    signal = go(PTRACE_SINGLESTEP, 0);
    set_breakpoint(breakpoint, 1);
    return signal;
}

static void run_to_cycle(int signal)
{
    while ((signal = go(PTRACE_CONT, signal)) != SIGTRAP || !is_at(&cycle)) {
        if (signal == SIGTRAP && is_at(&restorer))
            signal = step_over(&restorer);
        if (signal == SIGTRAP)
            signal = 0;
    }
}

/* Let the handler run. Stops at the signal return, or at whatever comes before. */
static int deliver(int signal)
{
    signal = go(PTRACE_CONT, signal);
    return signal == SIGTRAP && is_at(&restorer) ? step_over(&restorer) : signal;
}

/* From the start of a cycle. Returns 0 if it ended before its n-th interesting boundary. */
static int interrupt(long n)
{
    int signal = step_over(&cycle);
    long seen = 0;

    for (;;) {
        if (signal == SIGTRAP) {
            if (is_at(&cycle))
                return 0;
            if (is_interesting(registers().rip) && seen++ == n) {
                run_to_cycle(SIGUSR1);
                return 1;
            }
            signal = go(PTRACE_SINGLESTEP, 0);
        } else {
            signal = deliver(signal);
        }
    }
}

int main(int argc, char **argv)
{
    int status;
    long n = 0;

    if (argc < 6 || argc % 2)
        return 2;
    for (int i = 4; i < argc && range_count < 8; i += 2, range_count++)
        ranges[range_count] = (struct range){strtoul(argv[i], NULL, 16), strtoul(argv[i + 1], NULL, 16)};
    driver = fork();
    if (!driver) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execl(argv[1], argv[1], "traced", NULL);
        _exit(127);
    }
    if (waitpid(driver, &status, 0) != driver || !WIFSTOPPED(status))
        return 1;
    cycle = breakpoint_at(argv[2]);
    restorer = breakpoint_at(argv[3]);
    run_to_cycle(0);
    while (interrupt(n))
        n++;
    kill(driver, SIGKILL);
    waitpid(driver, &status, 0);
    printf("%ld\n", n);
    return 0;
}
