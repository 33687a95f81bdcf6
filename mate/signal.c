/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals of the program, from the kernel to the ring in the exchange. What the handler can find:
 *
 *   interrupted                                level  then
 *   in the enclave (RIP = AEP: an AEX)           0    CSSA is 1: enter with ECALL_SIGNAL, ERESUME follows
 *   in the enclave (RIP = AEP: an AEX)           1    CSSA is 2: queue; the loop sees it before its ERESUME
 *   on the way to ERESUME                        0    CSSA is 1: enter with ECALL_SIGNAL
 *   on the way to ERESUME                        1    cannot be: the loop resumes at level 0 only
 *   before the SYSCALL of a call that may block  -    queue; the call returns -EINTR
 *   elsewhere outside                            -    queue; the LibOS looks before it returns to the program
 */
#include "signal.h"

#include <asm/signal.h>
#include <linux/errno.h>

#include "../enclave/include/sgx_arch.h"
#include "enclave_loop.h"
#include "log.h"
#include "string.h"
#include "syscall.h"

#define REALTIME_FIRST 32

extern char window_start[], window_end[], window_aborted[];

static uint64_t bit(int signal)
{
    return 1UL << (signal - 1);
}

static int ring_has(const struct exchange *exchange, uint32_t signal)
{
    for (uint32_t i = exchange->signal_tail; i != exchange->signal_head; i++)
        if (exchange->signals[i % EXCHANGE_SIGNALS].signal == signal)
            return 1;
    return 0;
}

static int ring_is_full(const struct exchange *exchange)
{
    return exchange->signal_head - exchange->signal_tail >= EXCHANGE_SIGNALS;
}

static void ring_put(struct exchange *exchange, int signal, const siginfo_t *info)
{
    struct exchange_signal *entry = &exchange->signals[exchange->signal_head % EXCHANGE_SIGNALS];

    entry->signal = signal;
    entry->code = info->si_code;
    memcpy(entry->siginfo, info, sizeof(entry->siginfo));
    __atomic_store_n(&exchange->signal_head, exchange->signal_head + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&exchange->signal_pending, 1, __ATOMIC_RELEASE);
}

/* Give the signal back to the kernel, which keeps it until the loop finds room. */
static void defer(struct host_thread *thread, int signal, siginfo_t *info, struct ucontext *frame)
{
    frame->uc_sigmask |= bit(signal);
    thread->overflow |= bit(signal);
    if (syscall4(__NR_rt_tgsigqueueinfo, syscall0(__NR_getpid), syscall0(__NR_gettid), signal, info))
        syscall3(__NR_tgkill, syscall0(__NR_getpid), syscall0(__NR_gettid), signal);
}

static void queue(struct host_thread *thread, int signal, siginfo_t *info, struct ucontext *frame)
{
    if (!ring_is_full(thread->exchange))
        ring_put(thread->exchange, signal, info);
    else if (signal >= REALTIME_FIRST || !ring_has(thread->exchange, signal))
        defer(thread, signal, info, frame);
    /* else: a standard signal that is already pending; the kernel, too, keeps only one */
}

void signal_retry_overflow(struct host_thread *thread)
{
    uint64_t mask = thread->overflow;

    if (!mask || ring_is_full(thread->exchange))
        return;
    thread->overflow = 0;
    sys_rt_sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

static int within(uint64_t address, uint64_t start, uint64_t end)
{
    return address >= start && address < end;
}

/* Was the enclave interrupted? The processor's synthetic state, which nothing else looks like. */
static int is_at_aep(const struct host_thread *thread, const struct sigcontext *context)
{
    return context->rip == sgx_enclu_address && context->rcx == context->rip && context->rax == ENCLU_ERESUME &&
           context->rbx == thread->tcs;
}

static int is_about_to_resume(const struct host_thread *thread, const struct sigcontext *context)
{
    return thread->call.function == ENCLU_ERESUME &&
           (within(context->rip, (uint64_t)enclave_call_window_start, (uint64_t)enclave_call_window_end) ||
            within(context->rip, (uint64_t)sgx_enter_enclave, sgx_enclu_address + 1));
}

void signal_handle(int signal, siginfo_t *info, struct ucontext *frame)
{
    struct host_thread *thread = thread_of_stack(__builtin_frame_address(0));
    struct sigcontext *context = &frame->uc_mcontext;
    int can_enter = thread->level == 0 && (is_at_aep(thread, context) || is_about_to_resume(thread, context));

    /* #BP and #DB of the enclave reach us as signals (asm/sgx.h) */
    if (signal == SIGTRAP && info->si_code > 0 && can_enter) {
        enclave_enter_from_handler(thread, ECALL_EXCEPTION);
        return;
    }
    queue(thread, signal, info, frame);
    if (can_enter)
        enclave_enter_from_handler(thread, ECALL_SIGNAL);
    else
        thread->unannounced = 1;
    if (within(context->rip, (uint64_t)window_start, (uint64_t)window_end))
        context->rip = (uint64_t)window_aborted;
}

void signal_hand_over(struct host_thread *thread)
{
    struct exchange *exchange = thread->exchange;
    long process = syscall0(__NR_getpid);

    for (; exchange->signal_tail != exchange->signal_head; exchange->signal_tail++) {
        struct exchange_signal *entry = &exchange->signals[exchange->signal_tail % EXCHANGE_SIGNALS];

        if (entry->code == SI_TKILL) /* meant for this thread alone */
            continue;
        /* The kernel lets only the first thread of a process keep the sender's details */
        if (syscall3(__NR_rt_sigqueueinfo, process, entry->signal, entry->siginfo))
            syscall2(__NR_kill, process, entry->signal);
    }
}

void signal_block_all(uint64_t *old_mask)
{
    uint64_t all = ~0UL;

    sys_rt_sigprocmask(SIG_SETMASK, &all, old_mask);
}

void signal_set_mask(uint64_t mask)
{
    sys_rt_sigprocmask(SIG_SETMASK, &mask, NULL);
}
