/* SPDX-License-Identifier: Apache-2.0 */
/* System calls about signals. Sending is the host's business; actions, masks and frames are ours. */
#include <linux/errno.h>

#include "enter.h"
#include "signal_frame.h"
#include "string.h"
#include "syscall.h"

#define SIGNAL_SET_SIZE 8
#define NANOSECONDS 1000000000L

enum { SIGKILL = 9, SIGSEGV = 11, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGURG = 23, SIGWINCH = 28 };
enum { HANDLER_DEFAULT = 0, HANDLER_IGNORE = 1 };
enum { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 };
enum { NR_PAUSE = 34, NR_KILL = 62, NR_RT_SIGPENDING = 127, NR_RT_SIGTIMEDWAIT = 128, NR_RT_SIGQUEUEINFO = 129 };
enum { NR_RT_SIGSUSPEND = 130, NR_TKILL = 200, NR_TGKILL = 234, NR_RT_TGSIGQUEUEINFO = 297 };

static int takes_no_action(uint64_t signal)
{
    return signal < 1 || signal > SIGNAL_COUNT || signal == SIGKILL || signal == SIGSTOP;
}

/* Keep the host in step, so that default actions give the right wait status and ignored signals cost nothing. */
static void tell_host(uint32_t signal, const struct signal_action *action)
{
    uint32_t disposition = action->handler == HANDLER_DEFAULT  ? DISPOSITION_DEFAULT
                           : action->handler == HANDLER_IGNORE ? DISPOSITION_IGNORE
                                                               : DISPOSITION_CATCH;
    host_sigaction(signal, disposition, action->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
}

/* An action that ignores the signal discards it where it is pending. */
static void discard_if_ignored(struct thread *self, uint32_t signal, const struct signal_action *action)
{
    struct signal_info info;
    int by_default = signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH;
    if (action->handler == HANDLER_IGNORE || (action->handler == HANDLER_DEFAULT && by_default))
        while (signal_dequeue(self, SIGNAL_BIT(signal), &info))
            ;
}

long sys_rt_sigaction(struct syscall *call)
{
    struct compartment *compartment = call->compartment;
    uint64_t signal = call->args[0];
    struct signal_action wanted, old;
    if (takes_no_action(signal) || call->args[3] != SIGNAL_SET_SIZE)
        return -EINVAL;
    if (call->args[1] && copy_from_program(&wanted, (const void *)call->args[1], sizeof(wanted)))
        return -EFAULT;

    signal_learn_ignored(call->thread);
    spin_lock(&compartment->signal_lock);
    old = signal_actions(call->thread)[signal];
    if (call->args[1])
        signal_actions(call->thread)[signal] = wanted;
    spin_unlock(&compartment->signal_lock);

    if (call->args[1]) {
        discard_if_ignored(call->thread, (uint32_t)signal, &wanted);
        if (wanted.handler != old.handler || wanted.flags != old.flags)
            tell_host((uint32_t)signal, &wanted);
    }
    if (call->args[2] && copy_to_program((void *)call->args[2], &old, sizeof(old)))
        return -EFAULT;
    return 0;
}

long sys_rt_sigprocmask(struct syscall *call)
{
    struct thread *self = call->thread;
    uint64_t set, old = self->signal_mask;
    if (call->args[3] != SIGNAL_SET_SIZE)
        return -EINVAL;
    if (call->args[1]) {
        if (copy_from_program(&set, (const void *)call->args[1], sizeof(set)))
            return -EFAULT;
        switch (call->args[0]) {
        case SIG_BLOCK:
            set |= old;
            break;
        case SIG_UNBLOCK:
            set = old & ~set;
            break;
        case SIG_SETMASK:
            break;
        default:
            return -EINVAL;
        }
        signal_set_mask(self, set);
    }
    if (call->args[2] && copy_to_program((void *)call->args[2], &old, sizeof(old)))
        return -EFAULT;
    return 0;
}

long sys_rt_sigreturn(struct syscall *call)
{
    struct thread *self = call->thread;
    uint64_t mask;
    self->syscall_number = NO_SYSCALL;
    if (signal_frame_pop(self, call->registers, &mask))
        host_raise_default(SIGSEGV);
    call->registers->rip = patch_forward_address(call->compartment, call->registers->rip);
    signal_set_mask(self, mask);
    return (long)call->registers->rax;
}

long sys_sigaltstack(struct syscall *call)
{
    struct thread *self = call->thread;
    uint64_t rsp = call->registers->rsp;
    struct signal_stack wanted, old = signal_stack_of(self, rsp);
    if (call->args[0]) {
        if (copy_from_program(&wanted, (const void *)call->args[0], sizeof(wanted)))
            return -EFAULT;
        long error = signal_stack_set(self, rsp, &wanted);
        if (error)
            return error;
    }
    if (call->args[1] && copy_to_program((void *)call->args[1], &old, sizeof(old)))
        return -EFAULT;
    return 0;
}

long sys_rt_sigpending(struct syscall *call)
{
    struct thread *self = call->thread;
    uint64_t size = call->args[1];
    if (size > SIGNAL_SET_SIZE)
        return -EINVAL;
    signal_collect(self);
    uint64_t pending = self->signal_pending & self->signal_mask;
    if (host_syscall(NR_RT_SIGPENDING, (uint64_t)host_buffer(), SIGNAL_SET_SIZE, 0, 0, 0, 0) == 0)
        pending |= *(volatile uint64_t *)host_buffer() & self->signal_mask;
    return copy_to_program((void *)call->args[0], &pending, size);
}

long sys_rt_sigsuspend(struct syscall *call)
{
    struct thread *self = call->thread;
    uint64_t mask;
    if (call->args[1] != SIGNAL_SET_SIZE)
        return -EINVAL;
    if (copy_from_program(&mask, (const void *)call->args[0], sizeof(mask)))
        return -EFAULT;
    signal_set_temporary_mask(self, mask);
    signal_collect(self);
    if (!signal_deliverable(self)) {
        *(volatile uint64_t *)host_buffer() = mask & ~SIGNALS_OF_FAULTS;
        host_syscall_interruptible(NR_RT_SIGSUSPEND, (uint64_t)host_buffer(), SIGNAL_SET_SIZE, 0, 0, 0, 0);
    }
    return -ERESTARTNOHAND;
}

long sys_pause(struct syscall *call)
{
    signal_collect(call->thread);
    if (!signal_deliverable(call->thread))
        host_syscall_interruptible(NR_PAUSE, 0, 0, 0, 0, 0, 0);
    call->thread->pending = 1;
    return -ERESTARTNOHAND;
}

/* A signal that the host was not told to block may wait in the queue already; the rest wait on the host. */
long sys_rt_sigtimedwait(struct syscall *call)
{
    struct thread *self = call->thread;
    struct signal_info info;
    uint64_t set;
    int64_t timeout[2] = {0}; /* goes to the host in any case */
    if (call->args[3] != SIGNAL_SET_SIZE)
        return -EINVAL;
    if (copy_from_program(&set, (const void *)call->args[0], sizeof(set)) ||
        (call->args[2] && copy_from_program(timeout, (const void *)call->args[2], sizeof(timeout))))
        return -EFAULT;
    if (call->args[2] && (timeout[0] < 0 || timeout[1] < 0 || timeout[1] >= NANOSECONDS))
        return -EINVAL;

    signal_collect(self);
    long signal = signal_dequeue(self, set, &info);
    if (!signal) {
        struct {
            uint64_t set;
            int64_t timeout[2];
            struct signal_info info;
        } *shared = (void *)host_buffer();
        memcpy(&shared->set, &set, sizeof(set));
        memcpy(shared->timeout, timeout, sizeof(timeout));
        signal = host_syscall_interruptible(NR_RT_SIGTIMEDWAIT, (uint64_t)&shared->set, (uint64_t)&shared->info,
                                            call->args[2] ? (uint64_t)shared->timeout : 0, SIGNAL_SET_SIZE, 0, 0);
        memcpy(&info, &shared->info, sizeof(info));
        if (signal == 0 || signal > SIGNAL_COUNT || (signal > 0 && !(set & SIGNAL_BIT(signal))))
            return -EIO;
        info.signal = (int32_t)signal;
    }
    if (signal == -EINTR) { /* the signal that ended the host's wait may be one of the set */
        signal_collect(self);
        long queued = signal_dequeue(self, set, &info);
        self->pending = 1;
        signal = queued ? queued : -EINTR;
    }
    if (signal > 0 && call->args[1] && copy_to_program((void *)call->args[1], &info, sizeof(info)))
        return -EFAULT;
    return signal;
}

long sys_kill(struct syscall *call)
{
    return host_syscall(NR_KILL, call->args[0], call->args[1], 0, 0, 0, 0);
}

long sys_tkill(struct syscall *call)
{
    return host_syscall(NR_TKILL, call->args[0], call->args[1], 0, 0, 0, 0);
}

long sys_tgkill(struct syscall *call)
{
    return host_syscall(NR_TGKILL, call->args[0], call->args[1], call->args[2], 0, 0, 0);
}

long sys_rt_sigqueueinfo(struct syscall *call)
{
    struct signal_info info;
    if (copy_from_program(&info, (const void *)call->args[2], sizeof(info)))
        return -EFAULT;
    memcpy(host_buffer(), &info, sizeof(info));
    return host_syscall(NR_RT_SIGQUEUEINFO, call->args[0], call->args[1], (uint64_t)host_buffer(), 0, 0, 0);
}

long sys_rt_tgsigqueueinfo(struct syscall *call)
{
    struct signal_info info;
    if (copy_from_program(&info, (const void *)call->args[3], sizeof(info)))
        return -EFAULT;
    memcpy(host_buffer(), &info, sizeof(info));
    return host_syscall(NR_RT_TGSIGQUEUEINFO, call->args[0], call->args[1], call->args[2], (uint64_t)host_buffer(), 0,
                        0);
}
