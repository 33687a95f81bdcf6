/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the host's ring to the program's handlers. A thread touches only its own queue and mask; the
 * actions are the process's, under compartment.signal_lock, which is never held across an OCALL.
 *
 * What the host queues is data: it may invent any signal (as any sender could), but not a fault. A fault
 * comes with what the hardware wrote to the SSA, or not at all.
 */
#include "signal.h"

#include "enter.h"
#include "signal_frame.h"
#include "string.h"
#include "syscall.h"
#include "vfork.h"

#define EINTR 4
#define SYS_RT_SIGPROCMASK 14
#define SYS_KILL 62
#define SIG_SETMASK 2
#define HANDLER_DEFAULT 0
#define HANDLER_IGNORE 1

enum { SIGKILL = 9, SIGSEGV = 11, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22 };
enum { SIGURG = 23, SIGWINCH = 28, SIGNAL_REALTIME_MIN = 32 };

#define UNMASKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))
#define IGNORED_BY_DEFAULT (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH))
#define STOP_BY_DEFAULT (SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU) | SIGNAL_BIT(SIGSTOP))
#define HOST_MASK_UNKNOWN UNMASKABLE /* no mask of ours has these bits */

struct signal_action *signal_actions(struct thread *self)
{
    return self->is_vfork_child ? vfork_state(self)->actions : self->compartment->actions;
}

static struct signal_action action_of(struct thread *self, uint32_t signal)
{
    struct compartment *compartment = self->compartment;
    spin_lock(&compartment->signal_lock);
    struct signal_action action = signal_actions(self)[signal];
    spin_unlock(&compartment->signal_lock);
    return action;
}

static int is_ignored(const struct signal_action *action, uint32_t signal)
{
    return action->handler == HANDLER_IGNORE ||
           (action->handler == HANDLER_DEFAULT && SIGNAL_BIT(signal) & IGNORED_BY_DEFAULT);
}

/* Is this entry of the host's one that the program may see? Makes the siginfo agree with it. */
static int admit(struct exchange_signal *entry)
{
    struct signal_info *info = (struct signal_info *)entry->siginfo;
    if (entry->signal < 1 || entry->signal > SIGNAL_COUNT || SIGNAL_BIT(entry->signal) & UNMASKABLE)
        return 0;
    if (SIGNAL_BIT(entry->signal) & SIGNALS_OF_FAULTS && entry->code > 0)
        return 0;
    info->signal = (int32_t)entry->signal;
    info->code = entry->code;
    return 1;
}

static void enqueue(struct thread *self, const struct exchange_signal *entry)
{
    uint64_t bit = SIGNAL_BIT(entry->signal);
    struct signal_action action = action_of(self, entry->signal);
    if (is_ignored(&action, entry->signal) && !(self->signal_mask & bit))
        return;
    if (entry->signal < SIGNAL_REALTIME_MIN && self->signal_pending & bit)
        return; /* these do not queue */
    self->signal_queue[self->signal_queue_count++] = *entry;
    self->signal_pending |= bit;
}

void signal_collect(struct thread *self)
{
    volatile struct exchange *exchange = self->exchange;
    exchange->signal_pending = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* with the mate's handler: entry, then signal_pending */
    for (int i = 0; i < EXCHANGE_SIGNALS && self->signal_queue_count < SIGNAL_QUEUE_SIZE; i++) {
        uint32_t tail = exchange->signal_tail;
        if (tail == exchange->signal_head)
            break;
        struct exchange_signal entry;
        memcpy(&entry, (const void *)&exchange->signals[tail % EXCHANGE_SIGNALS], sizeof(entry));
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the copy is what is checked; then the slot is free */
        exchange->signal_tail = tail + 1;
        if (admit(&entry))
            enqueue(self, &entry);
    }
}

static uint64_t deliverable(const struct thread *self)
{
    return self->signal_pending & ~self->signal_mask;
}

int signal_deliverable(const struct thread *self)
{
    return deliverable(self) != 0;
}

int signal_dequeue(struct thread *self, uint64_t set, struct signal_info *info)
{
    uint64_t candidates = self->signal_pending & set;
    if (!candidates)
        return 0;
    if (candidates & SIGNALS_OF_FAULTS)
        candidates &= SIGNALS_OF_FAULTS;
    uint32_t signal = __builtin_ctzl(candidates) + 1;
    uint32_t left = 0, taken = 0, more = 0;
    for (uint32_t i = 0; i < self->signal_queue_count; i++) {
        struct exchange_signal *entry = &self->signal_queue[i];
        if (entry->signal == signal && !taken) {
            memcpy(info, entry->siginfo, sizeof(*info));
            taken = 1;
            continue;
        }
        more |= entry->signal == signal;
        if (left != i)
            self->signal_queue[left] = *entry;
        left++;
    }
    self->signal_queue_count = left;
    if (!more)
        self->signal_pending &= ~SIGNAL_BIT(signal);
    return (int)signal;
}

void signal_sync_host_mask(struct thread *self)
{
    uint64_t mask = self->signal_mask & ~(SIGNALS_OF_FAULTS | UNMASKABLE);
    if (mask == self->host_mask)
        return;
    self->host_mask = mask;
    *(volatile uint64_t *)host_buffer() = mask;
    host_syscall(SYS_RT_SIGPROCMASK, SIG_SETMASK, (uint64_t)host_buffer(), 0, sizeof(mask), 0, 0);
}

void signal_set_mask(struct thread *self, uint64_t mask)
{
    self->signal_mask = mask & ~UNMASKABLE;
    signal_sync_host_mask(self);
    if (self->signal_queue_count)
        self->pending = 1;
}

void signal_set_temporary_mask(struct thread *self, uint64_t mask)
{
    self->saved_mask = self->signal_mask;
    self->has_saved_mask = 1;
    self->signal_mask = mask & ~UNMASKABLE;
    self->pending = 1; /* so that the end of the call looks here */
}

/* The mask that a handler's frame keeps: the temporary one of a call ends with the delivery. */
static uint64_t take_saved_mask(struct thread *self)
{
    uint64_t mask = self->has_saved_mask ? self->saved_mask : self->signal_mask;
    self->has_saved_mask = 0;
    return mask;
}

/* Returns if the default action leaves the process alive. */
static void default_action(struct thread *self, uint32_t signal)
{
    uint64_t bit = SIGNAL_BIT(signal);
    if (bit & IGNORED_BY_DEFAULT)
        return;
    if (bit & STOP_BY_DEFAULT)
        host_syscall(SYS_KILL, thread_process_id(self), SIGSTOP, 0, 0, 0, 0);
    else
        host_raise_default(signal);
}

static void enter_handler(struct thread *self, struct registers *registers, const struct signal_action *action,
                          const struct signal_info *info)
{
    uint32_t signal = (uint32_t)info->signal;
    uint64_t saved = take_saved_mask(self);
    if (signal_frame_push(self, registers, action, info, saved))
        host_raise_default(SIGSEGV); /* no stack for a handler: Linux does the same */
    self->signal_mask |= action->mask & ~UNMASKABLE;
    if (!(action->flags & SA_NODEFER))
        self->signal_mask |= SIGNAL_BIT(signal);
    if (action->flags & SA_RESETHAND) {
        spin_lock(&self->compartment->signal_lock);
        signal_actions(self)[signal].handler = HANDLER_DEFAULT;
        spin_unlock(&self->compartment->signal_lock);
        host_sigaction(signal, DISPOSITION_DEFAULT, 0);
    }
}

static int is_interrupted(long result)
{
    return result == -ERESTARTSYS || result == -ERESTARTNOHAND;
}

/* A handler is about to run: what the interrupted call looks like when it has returned. */
static void finish_call(struct thread *self, struct registers *registers, long result, uint64_t action_flags)
{
    if (!is_interrupted(result)) {
        registers->rax = (uint64_t)result;
    } else if (result == -ERESTARTSYS && action_flags & SA_RESTART) {
        registers->rax = (uint64_t)self->syscall_number;
        registers->rip = patch_restart_address(self->compartment, registers->rip);
    } else {
        registers->rax = (uint64_t)-EINTR;
    }
}

/* Linux delivers all at once, each handler's frame upon the last one's. Returns whether a handler runs. */
static int deliver_queued(struct thread *self, struct registers *registers, long result)
{
    struct signal_info info;
    int handled = 0;
    while (signal_dequeue(self, ~self->signal_mask, &info)) {
        struct signal_action action = action_of(self, (uint32_t)info.signal);
        if (is_ignored(&action, (uint32_t)info.signal))
            continue;
        if (action.handler == HANDLER_DEFAULT) {
            default_action(self, (uint32_t)info.signal);
            continue;
        }
        if (!handled)
            finish_call(self, registers, result, action.flags);
        handled = 1;
        enter_handler(self, registers, &action, &info);
    }
    return handled;
}

int signal_deliver(struct thread *self, struct registers *registers, long result)
{
    self->pending = 0;
    signal_collect(self);
    int handled = deliver_queued(self, registers, result);
    if (self->has_saved_mask) {
        self->signal_mask = take_saved_mask(self);
        signal_sync_host_mask(self);
        handled |= deliver_queued(self, registers, result);
    }
    if (handled)
        return 0;
    if (is_interrupted(result))
        return 1;
    registers->rax = (uint64_t)result;
    return 0;
}

void program_exit_pending(struct registers *frame)
{
    struct thread *self = thread_self();
    self->pending = 0;
    signal_collect(self);
    deliver_queued(self, frame, (long)frame->rax);
}

void signal_fault(struct thread *self, struct registers *registers, int signal, int code, uint64_t address)
{
    struct signal_action action = action_of(self, (uint32_t)signal);
    struct signal_info info = {.signal = signal, .code = code, .address = address};
    if (action.handler == HANDLER_DEFAULT || action.handler == HANDLER_IGNORE ||
        self->signal_mask & SIGNAL_BIT(signal)) {
        /* a fault can be neither ignored nor put off */
        if (self->compartment->flags & START_TRACE_SYSCALLS)
            host_log(LOG_DEBUG, "[%u] signal %d code %d at %lx, address %lx, stack %lx, return address %lx",
                     self->thread_id, signal, code, registers->rip, address, registers->rsp, registers->rcx);
        host_raise_default((uint32_t)signal);
    }
    enter_handler(self, registers, &action, &info);
}

void signal_learn_ignored(struct thread *self)
{
    struct compartment *compartment = self->compartment;
    if (__atomic_load_n(&compartment->ignored_known, __ATOMIC_ACQUIRE))
        return;
    uint64_t ignored = host_ignored_signals();
    spin_lock(&compartment->signal_lock);
    /* Once another thread knows, it may have changed what the host has just said. */
    for (uint32_t signal = 1; signal <= SIGNAL_COUNT && !compartment->ignored_known; signal++)
        if (ignored & SIGNAL_BIT(signal))
            compartment->actions[signal].handler = HANDLER_IGNORE;
    __atomic_store_n(&compartment->ignored_known, 1, __ATOMIC_RELEASE);
    spin_unlock(&compartment->signal_lock);
}

void signal_reset(struct thread *self, uint64_t blocked)
{
    struct compartment *compartment = self->compartment;
    memset(compartment->actions, 0, sizeof(compartment->actions));
    compartment->ignored_known = 0;
    self->altstack_base = self->altstack_size = self->altstack_flags = 0;
    self->has_saved_mask = 0;
    self->signal_mask = blocked & ~UNMASKABLE;
    self->host_mask = HOST_MASK_UNKNOWN;
    signal_sync_host_mask(self);
}
