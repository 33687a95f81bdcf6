/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every signal that the mate catches comes here first: AEX if the enclave was interrupted, then either the
 * exit that the kernel's vDSO fixup would make (exceptions) or the mate's own handler.
 */
#include <asm/signal.h>
#include <linux/errno.h>

#include "../log.h"
#include "../signal.h"
#include "../syscall.h"
#include "../thread.h"
#include "model.h"

#define SIGNALS_MAX 64

/* What the mate asked for. The fault signals are always caught for the model itself. */
static struct {
    signal_handler handler;
} dispositions[SIGNALS_MAX + 1] __attribute__((section(".bss.rare")));
static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};

/* Of the fault signals, before they were caught */
static uint64_t ignored_signals;

static int is_fault_signal(int signal)
{
    for (unsigned i = 0; i < sizeof(fault_signals) / sizeof(fault_signals[0]); i++)
        if (fault_signals[i] == signal)
            return 1;
    return 0;
}

static void exit_with_exception(struct sigcontext *context, const struct exception *exception)
{
    context->rip = (uint64_t)model_exception_exit;
    context->rdi = exception->vector;
    context->rsi = exception->error_code;
    context->rdx = exception->address & ~(uint64_t)(SGX_PAGE_SIZE - 1);
}

static _Noreturn void die_of_host_fault(int signal, const struct sigcontext *context)
{
    log_error("internal error: signal %d in the mate itself at %lx, address %lx: please report this", signal,
              (unsigned long)context->rip, (unsigned long)context->cr2);
    raise_default(signal);
}

static void deliver(int signal, siginfo_t *info, struct ucontext *context)
{
    signal_handler handler = dispositions[signal].handler;

    if (handler == HANDLER_DEFAULT)
        raise_default(signal);
    if (handler != HANDLER_IGNORE)
        handler(signal, info, context);
}

static void on_signal(int signal, siginfo_t *info, struct ucontext *frame)
{
    struct cpu *cpu = (struct cpu *)thread_of_stack(__builtin_frame_address(0));
    struct sigcontext *context = &frame->uc_mcontext;
    struct exception exception;
    int raised = exception_decode(signal, info, context, &exception);
    enum window window = window_close(cpu, context);

    if (window == WINDOW_LEAF || (window == WINDOW_NONE && cpu->selector == INSIDE_ENCLAVE)) {
        if (raised)
            exception_adjust_rip(signal, &exception, context);
        model_aex(cpu, context, raised ? &exception : NULL);
        /* The vDSO leaves #DB and #BP to signal handlers */
        if (raised && signal != SIGTRAP) {
            exit_with_exception(context, &exception);
            return;
        }
    } else if (raised) {
        if (window == WINDOW_ENCLU)
            exit_with_exception(context, &exception);
        else
            die_of_host_fault(signal, context);
        return;
    }
    deliver(signal, info, frame);
}

static long install(int signal, void *handler, uint64_t flags, struct kernel_sigaction *old)
{
    struct kernel_sigaction action = {
        .handler = handler,
        .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTORER | flags,
        .restorer = signal_restorer,
        .mask = ~0UL,
    };

    return sys_rt_sigaction(signal, &action, old);
}

long sgx_sigaction(int signal, signal_handler handler, uint64_t flags)
{
    if (signal < 1 || signal > SIGNALS_MAX)
        return -EINVAL;
    dispositions[signal].handler = handler;
    if (is_fault_signal(signal))
        return 0;
    if (handler == HANDLER_DEFAULT || handler == HANDLER_IGNORE)
        return install(signal, (void *)handler, flags, NULL);
    return install(signal, (void *)on_signal, flags, NULL);
}

uint64_t sgx_ignored_signals(void)
{
    return ignored_signals;
}

void model_signals_start(void)
{
    for (unsigned i = 0; i < sizeof(fault_signals) / sizeof(fault_signals[0]); i++) {
        struct kernel_sigaction old;
        long result = install(fault_signals[i], (void *)on_signal, 0, &old);

        if (result)
            die("cannot install the handler of signal %d: error %d", fault_signals[i], (int)-result);
        if (old.handler == (void *)SIG_IGN)
            ignored_signals |= 1UL << (fault_signals[i] - 1);
    }
}
