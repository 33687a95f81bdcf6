/* SPDX-License-Identifier: Apache-2.0 */
/* Death by a signal's default action, with the wait status that a parent expects. */
#include <asm/signal.h>

#include "signal.h"
#include "syscall.h"

#define STATUS_SIGNAL_BASE 128

/*
 * The first process of a PID namespace does not die of signals that it sends itself, but it does of its own faults.
 */
static void fault(int signal)
{
    uint64_t non_canonical = 1UL << 63;

    switch (signal) {
    case SIGSEGV:
        __asm__ volatile("hlt");
        break;
    case SIGBUS: /* #SS */
        __asm__ volatile("mov %0, %%rsp; push %%rax" ::"r"(non_canonical));
        break;
    case SIGILL:
        __asm__ volatile("ud2");
        break;
    case SIGTRAP:
        __asm__ volatile("int3");
        break;
    case SIGFPE:
        __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; div %%ecx" ::: "rax", "rcx", "rdx");
        break;
    }
}

void raise_default(int signal)
{
    struct kernel_sigaction action = {.handler = SIG_DFL, .flags = SA_RESTORER, .restorer = signal_restorer};
    uint64_t mask = 1UL << (signal - 1);

    sys_rt_sigaction(signal, &action, NULL);
    syscall3(__NR_tgkill, syscall0(__NR_getpid), syscall0(__NR_gettid), signal);
    sys_rt_sigprocmask(SIG_UNBLOCK, &mask, NULL);
    fault(signal);
    /* Still here: what a container runtime would report of that signal */
    for (;;)
        syscall1(__NR_exit_group, STATUS_SIGNAL_BASE + signal);
}
