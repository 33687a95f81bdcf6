/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCALL_VFORK: a host process of its own, with a copy of the mate's memory but the same compartment (which is shared
 * memory), that runs on the caller's TCS while the caller waits. It ends by OCALL_EXIT_GROUP, or by OCALL_EXECVE under
 * a lease of its own, or it is killed, perhaps in the enclave (enclave_loop.c).
 */
#include <asm/signal.h>
#include <linux/prctl.h>
#include <linux/sched.h>

#include "attach.h"
#include "mate.h"
#include "ocall.h"
#include "protect_log.h"
#include "signal.h"
#include "syscall.h"

/* Nothing that is per thread or per process in the kernel came along. */
static void become_child(struct host_thread *thread, long parent)
{
    struct exchange *exchange = thread->exchange;

    /* The compartment is the parent's lease: when that ends, so must we. Until then the parent waits. */
    syscall2(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL);
    if (syscall0(__NR_getppid) != parent)
        syscall1(__NR_exit_group, 0);
    mate.in_parents_compartment = 1;
    protect_log_become_child();
    lease_map_in_child(&mate.lease);
    thread->tid = syscall0(__NR_gettid);
    exchange->signal_tail = exchange->signal_head;
    exchange->signal_pending = 0;
    thread->returned = 0;
    thread->unannounced = 0;
    sgx_thread_start(&thread->sgx);
    exchange->u.vfork.result = 0;
}

enum ocall_outcome ocall_vfork(struct host_thread *thread)
{
    long parent = syscall0(__NR_getpid);
    long result = protect_log_add_child();
    uint64_t mask;
    long child;

    if (result) {
        thread->exchange->u.vfork.result = result;
        return OCALL_CONTINUE;
    }
    /* The child takes no signal before it is armed */
    signal_block_all(&mask);
    child = syscall5(__NR_clone, CLONE_VFORK | SIGCHLD, 0, NULL, NULL, 0);
    if (child) {
        protect_log_remove_child();
        thread->exchange->u.vfork.result = child;
    } else {
        become_child(thread, parent);
    }
    signal_set_mask(mask);
    return child > 0 ? OCALL_CHILD_ENDED : OCALL_CONTINUE;
}
