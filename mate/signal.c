/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals of the program, from the kernel to the ring in the exchange. What the handler can find:
 *
 *   interrupted                                level  then
 *   in the enclave (RIP = AEP: an AEX)           0    CSSA is 1: enter with ECALL_SIGNAL, ERESUME follows
 *   in the enclave (RIP = AEP: an AEX)           1    CSSA is 2: queue; the loop sees it before its ERESUME
 *   on the way to ERESUME                        0    CSSA is 1: enter with ECALL_SIGNAL
 *   on the way to ERESUME                        1    cannot be: the loop resumes at level 0 only
 *   before the SYSCALL of a call that may block  -    queue; if the call would wait, it returns -EINTR
 *   elsewhere outside                            -    queue; the LibOS looks before it returns to the program
 */
#include "signal.h"

#include <asm/signal.h>
#include <linux/errno.h>
#include <linux/time_types.h>

#include "../enclave/include/sgx_arch.h"
#include "enclave_loop.h"
#include "log.h"
#include "string.h"
#include "syscall.h"

#define REALTIME_FIRST 32
#define RING_HALF (EXCHANGE_SIGNALS / 2)

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

static uint32_t ring_count(const struct exchange *exchange)
{
    return exchange->signal_head - exchange->signal_tail;
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

/* Only when the ring overflows with signals of many kinds: see signal_queue. */
static void give_back(struct host_thread *thread, int signal, siginfo_t *info)
{
    long process = syscall0(__NR_getpid), self = syscall0(__NR_gettid);

    thread->returned++;
    if (syscall4(__NR_rt_tgsigqueueinfo, process, self, signal, info))
        syscall3(__NR_tgkill, process, self, signal);
}

/*
 * Of the real-time signals none may be lost. Once the ring is half full, the kernel is made to keep further ones of the
 * kind (or to give them to another thread); what is left of the ring is for the other kinds.
 */
static void queue(struct host_thread *thread, int signal, siginfo_t *info, struct ucontext *frame)
{
    struct exchange *exchange = thread->exchange;

    if (ring_count(exchange) < EXCHANGE_SIGNALS)
        ring_put(exchange, signal, info);
    else if (signal >= REALTIME_FIRST || !ring_has(exchange, signal))
        give_back(thread, signal, info);
    else
        return; /* a standard signal that is already pending; the kernel, too, keeps only one */
    if (ring_count(exchange) == EXCHANGE_SIGNALS || (signal >= REALTIME_FIRST && ring_count(exchange) >= RING_HALF)) {
        thread->blocked |= bit(signal);
        frame->uc_sigmask |= bit(signal);
    }
}

static void unblock_in_frame(struct host_thread *thread, struct ucontext *frame)
{
    if (!thread->blocked || ring_count(thread->exchange) >= RING_HALF)
        return;
    frame->uc_sigmask &= ~thread->blocked;
    thread->blocked = 0;
}

void signal_unblock(struct host_thread *thread)
{
    uint64_t mask = thread->blocked;

    if (!mask || ring_count(thread->exchange) >= RING_HALF)
        return;
    thread->blocked = 0;
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
    unblock_in_frame(thread, frame);
}

static void hand_over(long process, int signal, siginfo_t *info)
{
    if (info->si_code == SI_TKILL) /* meant for this thread alone */
        return;
    /* The kernel lets only the first thread of a process keep the details of kill(2) */
    if (syscall3(__NR_rt_sigqueueinfo, process, signal, info))
        syscall2(__NR_kill, process, signal);
}

void signal_hand_over(struct host_thread *thread)
{
    struct exchange *exchange = thread->exchange;
    struct __kernel_timespec at_once = {0};
    long process = syscall0(__NR_getpid);
    siginfo_t info;
    long signal;

    for (; ring_count(exchange); exchange->signal_tail++) {
        struct exchange_signal *entry = &exchange->signals[exchange->signal_tail % EXCHANGE_SIGNALS];

        hand_over(process, (int)entry->signal, (siginfo_t *)entry->siginfo);
    }
    /* The thread's own pending signals come before those of the process */
    for (; thread->returned; thread->returned--) {
        signal = syscall4(__NR_rt_sigtimedwait, &thread->blocked, &info, &at_once, sizeof(thread->blocked));
        if (signal > 0)
            hand_over(process, (int)signal, &info);
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
