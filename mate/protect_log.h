/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfork children share their parent's compartment, and the LibOS's record of what is accessible there, but each
 * process has page tables of its own. So while there are such children, every mprotect is logged in memory that all of
 * them share, and each does what the others did: before its own next one, at a page fault, and when a child is gone.
 * The log's order is the LibOS's, which changes protections under a lock of the compartment.
 */
#ifndef TEEMATE_PROTECT_LOG_H
#define TEEMATE_PROTECT_LOG_H
#include <stdint.h>

/* Before a child is made. 0 or -ENOMEM. */
long protect_log_add_child(void);
/* In the child. */
void protect_log_become_child(void);
/* In the parent, when the child has ended or left the compartment (or was never made). */
void protect_log_remove_child(void);

void protect_log_catch_up(void);

/* mprotect of the compartment. 0 or -errno. */
long protect_range(uint64_t offset, uint64_t size, uint32_t prot);
#endif
