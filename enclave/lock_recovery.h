/* SPDX-License-Identifier: Apache-2.0 */
/* Locks whose holders have died. */
#ifndef TEEMATE_LOCK_RECOVERY_H
#define TEEMATE_LOCK_RECOVERY_H
#include "thread.h"

/*
 * A process that ran on this thread's slot has died in the enclave or outside: free what it held, but for the lock that
 * its parent holds while it waits. Returns NULL, or what it was changing and has left unusable, in words.
 */
const char *locks_recover(const struct thread *thread);

/* The tenant is dead, and with it whoever held any of them. */
void locks_break(struct compartment *compartment);
#endif
