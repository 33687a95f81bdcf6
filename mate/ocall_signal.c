/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/signal.h>
#include <linux/errno.h>

#include "ocall.h"
#include "signal.h"

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
