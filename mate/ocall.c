/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch of OCALLs. What is done is decided in the enclave: an honest mate only serves. */
#include "ocall.h"

#include "enclave_loop.h"
#include "log.h"
#include "signal.h"
#include "syscall.h"

#define EXIT_STATUS_MASK 0xff

enum ocall_outcome ocall_serve(struct host_thread *thread)
{
    struct exchange *exchange = thread->exchange;

    switch (exchange->op) {
    case OCALL_SYSCALL:
        ocall_syscall(thread);
        return OCALL_CONTINUE;
    case OCALL_FUTEX_WAIT:
        ocall_futex_wait(thread);
        return OCALL_CONTINUE;
    case OCALL_FUTEX_WAKE:
        ocall_futex_wake(thread);
        return OCALL_CONTINUE;
    case OCALL_CLOCK:
        ocall_clock(thread);
        return OCALL_CONTINUE;
    case OCALL_PROTECT:
        ocall_protect(thread);
        return OCALL_CONTINUE;
    case OCALL_COMMIT:
        ocall_commit(thread);
        return OCALL_CONTINUE;
    case OCALL_TRIM:
        ocall_trim(thread);
        return OCALL_CONTINUE;
    case OCALL_FILL:
        ocall_fill(thread);
        return OCALL_CONTINUE;
    case OCALL_SIGACTION:
        ocall_sigaction(thread);
        return OCALL_CONTINUE;
    case OCALL_IGNORED_SIGNALS:
        ocall_ignored_signals(thread);
        return OCALL_CONTINUE;
    case OCALL_CPUID:
        ocall_cpuid(thread);
        return OCALL_CONTINUE;
    case OCALL_CLONE_THREAD:
        ocall_clone_thread(thread);
        return OCALL_CONTINUE;
    case OCALL_EXECVE:
        ocall_execve(thread);
        return OCALL_CONTINUE;
    case OCALL_VFORK:
        return ocall_vfork(thread);
    case OCALL_LOG:
        ocall_log(thread);
        return OCALL_CONTINUE;
    case OCALL_EXIT_GROUP:
        for (;;)
            syscall1(__NR_exit_group, exchange->u.exit_group.status & EXIT_STATUS_MASK);
    case OCALL_RAISE_DEFAULT:
        raise_default(exchange->u.raise_default.signal);
    case OCALL_EXIT_THREAD:
    case OCALL_SCRUBBED:
    case OCALL_PREPARED:
        return OCALL_FINISH;
    default:
        die("the LibOS asked for OCALL %u, which this mate does not know: use a mate and an image of the same version",
            exchange->op);
    }
}
