/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of the mate itself. Results as from the kernel: -4095..-1 is -errno. */
#ifndef TEEMATE_MATE_SYSCALL_H
#define TEEMATE_MATE_SYSCALL_H
#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

static inline long syscall6(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#define syscall0(number) syscall6(number, 0, 0, 0, 0, 0, 0)
#define syscall1(number, a) syscall6(number, (uint64_t)(a), 0, 0, 0, 0, 0)
#define syscall2(number, a, b) syscall6(number, (uint64_t)(a), (uint64_t)(b), 0, 0, 0, 0)
#define syscall3(number, a, b, c) syscall6(number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), 0, 0, 0)
#define syscall4(number, a, b, c, d) syscall6(number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), 0, 0)
#define syscall5(number, a, b, c, d, e)                                                                                \
    syscall6(number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), 0)

static inline int syscall_failed(long result)
{
    return result < 0 && result >= -4095;
}

struct kernel_sigaction {
    void *handler;
    uint64_t flags;
    void (*restorer)(void);
    uint64_t mask;
};

static inline long sys_rt_sigaction(int signal, const struct kernel_sigaction *action, struct kernel_sigaction *old)
{
    return syscall4(__NR_rt_sigaction, signal, action, old, sizeof(uint64_t));
}

static inline long sys_rt_sigprocmask(int how, const uint64_t *mask, uint64_t *old)
{
    return syscall4(__NR_rt_sigprocmask, how, mask, old, sizeof(uint64_t));
}

/*
 * A system call that may block, in a window that loses no signal: SYSCALL_NOT_BEGUN when *pending is set, by whatever
 * signal handler, at whatever instant before the kernel has taken over; from then on it is the kernel that interrupts.
 */
#define SYSCALL_NOT_BEGUN (-4096L) /* no error of the kernel's */
long syscall_interruptible(long number, const uint64_t args[6], const uint32_t *pending);
#endif
