/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/signal.h>
#include <linux/errno.h>

#include "ocall.h"
#include "signal.h"
#include "syscall.h"

#define SIGNALS_MAX 64

void ocall_sigaction(struct host_thread *thread)
{
    struct ocall_sigaction *request = &thread->exchange->u.sigaction;
    signal_handler handler;

    switch (request->disposition) {
    case DISPOSITION_DEFAULT:
        handler = HANDLER_DEFAULT;
        break;
    case DISPOSITION_IGNORE:
        handler = HANDLER_IGNORE;
        break;
    case DISPOSITION_CATCH:
        handler = signal_handle;
        break;
    default:
        request->result = -EINVAL;
        return;
    }
    if (request->signal == SIGKILL || request->signal == SIGSTOP)
        request->result = -EINVAL;
    else /* without SA_RESTART: whether a call restarts is the LibOS's decision */
        request->result = sgx_sigaction(request->signal, handler, request->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
}

void ocall_ignored_signals(struct host_thread *thread)
{
    uint64_t signals = sgx_ignored_signals();

    for (int signal = 1; signal <= SIGNALS_MAX; signal++) {
        struct kernel_sigaction action;

        if (!sys_rt_sigaction(signal, NULL, &action) && action.handler == (void *)SIG_IGN)
            signals |= 1UL << (signal - 1);
    }
    thread->exchange->u.ignored_signals.signals = signals;
}
