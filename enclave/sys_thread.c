/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: a clone takes a free TCS of the compartment and a new host thread, whose id is its thread id. */
#include <asm/prctl.h>
#include <linux/errno.h>
#include <linux/sched.h>

#include "enter.h"
#include "extended_state.h"
#include "string.h"
#include "sys_process.h"
#include "syscall.h"

#define NR_SCHED_YIELD 24
#define SIGABRT 6
#define SPINS_BEFORE_YIELD 500
#define ROBUST_LIST_HEAD_SIZE 24
#define ADDRESS_LIMIT 0x7ffffffff000UL
#define HOST_MASK_UNKNOWN (~0UL)

struct clone_request {
    uint64_t flags, stack_top, parent_tid, child_tid, tls;
};

static struct thread *claim_slot(struct compartment *compartment)
{
    struct thread *found = NULL;
    spin_lock(&compartment->thread_lock);
    for (uint32_t slot = 0; slot < compartment->thread_count && !found; slot++) {
        struct thread *thread = thread_at(compartment, slot);
        if (__atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) != THREAD_FREE)
            continue;
        found = thread;
        found->state = THREAD_CLAIMED;
        found->thread_id = 0; /* the last thread's, which the host may have given out again */
        compartment->threads_alive++;
        if (compartment->slots_used <= slot)
            compartment->slots_used = slot + 1;
    }
    int log = !found && !compartment->thread_limit_logged;
    if (log)
        compartment->thread_limit_logged = 1;
    spin_unlock(&compartment->thread_lock);
    if (log)
        host_log(LOG_WARNING,
                 "clone: all %u thread slots of this lease are in use (EAGAIN); raise the pool's setting `threads`",
                 compartment->thread_count);
    return found;
}

/* The host says that it has started no thread. One that it has entered all the same keeps its slot, and waits. */
static void release_slot(struct compartment *compartment, struct thread *child)
{
    uint32_t starting = THREAD_STARTING;
    spin_lock(&compartment->thread_lock);
    if (__atomic_compare_exchange_n(&child->state, &starting, THREAD_FREE, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        compartment->threads_alive--;
    spin_unlock(&compartment->thread_lock);
}

/* Locks tell their owners by these ids: a host that gives two threads the same would open them. */
static int is_id_taken(const struct compartment *compartment, uint32_t id)
{
    int taken = id == compartment->process_id;
    for (uint32_t slot = 0; slot < compartment->slots_used && !taken; slot++) {
        const struct thread *thread = thread_at(compartment, slot);
        taken = __atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) != THREAD_FREE && thread->thread_id == id;
    }
    return taken;
}

/* From here on the child runs. */
static void set_id(struct compartment *compartment, struct thread *child, uint32_t id)
{
    spin_lock(&compartment->thread_lock);
    int taken = is_id_taken(compartment, id);
    if (!taken)
        __atomic_store_n(&child->thread_id, id, __ATOMIC_RELEASE);
    spin_unlock(&compartment->thread_lock);
    if (taken) {
        host_log(LOG_ERROR, "clone: the host gave a new thread the id %u, which another has", id);
        host_raise_default(SIGABRT);
    }
}

/* Everything of the child but what its own entry sets up (the part of struct thread before `compartment`). */
static void prepare(const struct thread *self, struct thread *child, const struct registers *registers,
                    const struct clone_request *request)
{
    uint64_t own = offsetof(struct thread, compartment);
    memset((char *)child + own, 0, sizeof(*child) - own);
    child->compartment = self->compartment;
    child->frame = (struct registers *)(thread_block(child) + THREAD_REGISTERS);
    child->signal_mask = self->signal_mask;
    child->host_mask = HOST_MASK_UNKNOWN;
    child->pending = 0;
    child->clear_child_tid = request->flags & CLONE_CHILD_CLEARTID ? request->child_tid : 0;
    child->app_fsbase = request->flags & CLONE_SETTLS ? request->tls : __builtin_ia32_rdfsbase64();
    child->start_registers = *registers;
    child->start_registers.rax = 0;
    if (request->stack_top)
        child->start_registers.rsp = request->stack_top;
    extended_state_save(thread_extended_state(child), self->xfrm);
}

static long clone_thread(struct syscall *call, const struct clone_request *request)
{
    uint64_t needed = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
    if ((request->flags & needed) != needed)
        return -EINVAL;
    if ((request->flags & (CLONE_FS | CLONE_FILES)) != (CLONE_FS | CLONE_FILES)) {
        host_log(LOG_WARNING,
                 "clone: threads that do not share files and working directory are not supported (ENOSYS)");
        return -ENOSYS;
    }
    if (request->flags & CLONE_SETTLS && request->tls >= ADDRESS_LIMIT)
        return -EPERM;
    if (call->thread->is_vfork_child)
        return -EAGAIN; /* a thread of the child's process in its parent's compartment would outlive it there */
    struct thread *child = claim_slot(call->compartment);
    if (!child)
        return -EAGAIN;
    prepare(call->thread, child, call->registers, request);
    uint32_t slot = (thread_block(child) - THREAD_BLOCK(call->compartment->base, 0)) / THREAD_STRIDE;
    __atomic_store_n(&child->state, THREAD_STARTING, __ATOMIC_RELEASE);

    long id = host_clone_thread(slot);
    if (id < 0) {
        release_slot(call->compartment, child);
        return id;
    }
    /* Both ids must be in memory before either thread looks, and must not be written once the child may exit. */
    uint32_t value = (uint32_t)id;
    if (request->flags & CLONE_PARENT_SETTID)
        copy_to_program((void *)request->parent_tid, &value, sizeof(value));
    if (request->flags & CLONE_CHILD_SETTID)
        copy_to_program((void *)request->child_tid, &value, sizeof(value));
    set_id(call->compartment, child, value);
    return id;
}

/* The parent, which learns the id from the host, usually has it before we get here. */
static void await_id(struct thread *self)
{
    for (uint32_t spins = 1; !__atomic_load_n(&self->thread_id, __ATOMIC_ACQUIRE); spins++) {
        if (spins % SPINS_BEFORE_YIELD)
            __builtin_ia32_pause();
        else
            host_syscall(NR_SCHED_YIELD, 0, 0, 0, 0, 0, 0);
    }
}

void thread_start(struct thread *self)
{
    /* first: an OCALL overwrites where these are kept */
    extended_state_restore(thread_extended_state(self), self->xfrm);
    __builtin_ia32_wrfsbase64(self->app_fsbase);
    await_id(self);
    signal_sync_host_mask(self);
    program_enter(self, &self->start_registers);
}

long sys_clone(struct syscall *call)
{
    struct clone_request request = {
        .flags = call->args[0],
        .stack_top = call->args[1],
        .parent_tid = call->args[2],
        .child_tid = call->args[3],
        .tls = call->args[4],
    };
    return request.flags & CLONE_THREAD ? clone_thread(call, &request) : sys_clone_process(call);
}

long sys_clone3(struct syscall *call)
{
    struct clone_args args = {0};
    uint64_t size = call->args[1];
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (copy_from_program(&args, (const void *)call->args[0], size < sizeof(args) ? size : sizeof(args)))
        return -EFAULT;
    /* New processes, and what later kernels added: the C libraries fall back to clone */
    if (!(args.flags & CLONE_THREAD) || args.set_tid || size > sizeof(args))
        return -ENOSYS;
    struct clone_request request = {
        .flags = args.flags,
        .stack_top = args.stack + args.stack_size,
        .parent_tid = args.parent_tid,
        .child_tid = args.child_tid,
        .tls = args.tls,
    };
    return clone_thread(call, &request);
}

long sys_gettid(struct syscall *call)
{
    return call->thread->thread_id;
}

long sys_set_tid_address(struct syscall *call)
{
    call->thread->clear_child_tid = call->args[0];
    return call->thread->thread_id;
}

long sys_set_robust_list(struct syscall *call)
{
    if (call->args[1] != ROBUST_LIST_HEAD_SIZE)
        return -EINVAL;
    call->thread->robust_list = call->args[0];
    return 0;
}

long sys_get_robust_list(struct syscall *call)
{
    struct thread *self = call->thread;
    uint64_t size = ROBUST_LIST_HEAD_SIZE;
    if (call->args[0] && call->args[0] != self->thread_id)
        return -ESRCH; /* the list of another thread is its own business */
    if (copy_to_program((void *)call->args[1], &self->robust_list, sizeof(self->robust_list)) ||
        copy_to_program((void *)call->args[2], &size, sizeof(size)))
        return -EFAULT;
    return 0;
}

/* GS is the LibOS's own, as in every SGX runtime. */
long sys_arch_prctl(struct syscall *call)
{
    uint64_t base;
    switch (call->args[0]) {
    case ARCH_SET_FS:
        if (call->args[1] >= ADDRESS_LIMIT)
            return -EPERM;
        __builtin_ia32_wrfsbase64(call->args[1]);
        return 0;
    case ARCH_GET_FS:
        base = __builtin_ia32_rdfsbase64();
        return copy_to_program((void *)call->args[1], &base, sizeof(base));
    default:
        return -EINVAL;
    }
}

long sys_sched_yield(struct syscall *call)
{
    (void)call;
    return host_syscall(NR_SCHED_YIELD, 0, 0, 0, 0, 0, 0);
}
