/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals. The host delivers to the mate, whose handler queues in the exchange; the LibOS collects,
 * applies the program's mask and actions, and builds the frame. Linux's numbering and ABI throughout.
 */
#ifndef TEEMATE_SIGNAL_H
#define TEEMATE_SIGNAL_H
#include <stdint.h>

#define SIGNAL_COUNT 64

struct signal_action { /* struct kernel_sigaction */
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

struct thread;
struct registers;

/* Move what the host queued in the exchange into thread->signal_pending. */
void signal_collect(struct thread *self);

/* Is a signal pending that the mask lets through and that has a handler? */
int signal_deliverable(const struct thread *self);

/*
 * At the end of a system call: deliver at most one signal by rewriting `registers` to enter its handler.
 * `result` is the call's result; -ERESTARTSYS becomes a restart or -EINTR by SA_RESTART.
 *
 * syscall_entry calls it when the result is -ERESTART* or thread->pending is set, the exit path of entry.S
 * when a signal came later; then the result is final. Returns 0 when `registers` are what the program
 * continues with, rax included. Returns 1, `registers` untouched, when the result was -ERESTART* and no
 * handler runs: syscall_entry makes the call again. In both cases a saved_mask has been put back.
 */
int signal_deliver(struct thread *self, struct registers *registers, long result);

/* A synchronous fault of the program at the given address: handler frame or death by default action. */
void signal_fault(struct thread *self, struct registers *registers, int signal, int code, uint64_t address);

/* Reset to the state after execve: handlers to default, ignored stay ignored. */
void signal_reset(struct thread *self, uint64_t ignored, uint64_t blocked);
#endif
