/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_MATE_SIGNAL_H
#define TEEMATE_MATE_SIGNAL_H
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <asm/ucontext.h>
#include <stdint.h>

#include "thread.h"

/* Handler of every signal that the program catches: queue it for the LibOS, tell the LibOS if it runs. */
void signal_handle(int signal, siginfo_t *info, struct ucontext *frame);

/* Unblock what had to wait for room in the ring. */
void signal_unblock(struct host_thread *thread);

/* Before a thread ends, with signals blocked: hand the signals that it has not passed on to the process. */
void signal_hand_over(struct host_thread *thread);

void signal_block_all(uint64_t *old_mask);
void signal_set_mask(uint64_t mask);

/* End the process by the signal's default action. */
_Noreturn void raise_default(int signal);

void signal_restorer(void);
#endif
