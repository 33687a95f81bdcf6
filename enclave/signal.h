/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals. The host delivers to the mate, whose handler queues in the exchange; the LibOS collects,
 * applies the program's mask and actions, and builds the frame. Linux's numbering and ABI throughout.
 */
#ifndef TEEMATE_SIGNAL_H
#define TEEMATE_SIGNAL_H
#include <stdint.h>

#define SIGNAL_COUNT 64
#define SIGNAL_QUEUE_SIZE 60 /* taken and not delivered, a thread; further ones wait in the exchange */

struct signal_action { /* struct kernel_sigaction */
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

#define SIGNAL_BIT(signal) (1UL << ((signal)-1))
/*
 * The host may not block these, because to it a fault of the program is one of them (SIGILL, SIGTRAP, SIGBUS,
 * SIGFPE, SIGSEGV, SIGSYS). When the program blocks them the LibOS keeps them pending.
 */
#define SIGNALS_OF_FAULTS 0x400004d8UL

struct thread;
struct registers;

/* The process's actions, under compartment.signal_lock. */
struct signal_action *signal_actions(struct thread *self);

/*
 * Ask the host for the mask that the program has set. While a handler runs, the larger mask of the handler
 * is known to the LibOS alone: the host delivers to the mate, and the signal stays in the queue.
 */
void signal_sync_host_mask(struct thread *self);

/* Change the mask as sigprocmask does, and tell the host. */
void signal_set_mask(struct thread *self, uint64_t mask);

/*
 * The mask of this one system call (sigsuspend, ppoll and their kin), put back when its signal has been
 * delivered. The host call itself must be given the mask too.
 */
void signal_set_temporary_mask(struct thread *self, uint64_t mask);

/* Move what the host queued in the exchange into thread->signal_queue. */
void signal_collect(struct thread *self);

/* Is a signal in the queue that the mask lets through? */
int signal_deliverable(const struct thread *self);

/*
 * At the end of a system call: deliver what is deliverable by rewriting `registers` to enter handlers.
 * `result` is the call's result; -ERESTARTSYS becomes a restart or -EINTR by SA_RESTART.
 *
 * syscall_entry calls it when the result is -ERESTART* or thread->pending is set, the exit path of program_switch.S
 * when a signal came later; then the result is final. Returns 0 when `registers` are what the program
 * continues with, rax included. Returns 1, `registers` untouched, when the result was -ERESTART* and no
 * handler runs: syscall_entry makes the call again. In both cases a saved_mask has been put back.
 */
int signal_deliver(struct thread *self, struct registers *registers, long result);

/*
 * Take the next signal of the set out of the queue. Returns its number, or 0. Faults come first, then the
 * lowest number, as in Linux.
 */
struct signal_info;
int signal_dequeue(struct thread *self, uint64_t set, struct signal_info *info);

/* A synchronous fault of the program at the given address: handler frame or death by default action. */
void signal_fault(struct thread *self, struct registers *registers, int signal, int code, uint64_t address);

/* Reset to the state after execve: handlers to default. */
void signal_reset(struct thread *self, uint64_t blocked);

/* The signals that were ignored at the start, and stay so. To be called before the actions are read or changed. */
void signal_learn_ignored(struct thread *self);
#endif
