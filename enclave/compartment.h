/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LibOS state of one compartment: what a kernel would call a process. It lies in the compartment's
 * header; the image region is read-only, so there are no globals.
 *
 * Lock order: futex_lock, then fd_lock, then signal_lock, then patch_lock, then memory.lock: an access through the
 * program's pointer takes it when the page is still to be loaded (usercopy.c), and nothing else is taken under it.
 * No lock is held across an OCALL except memory.lock and what is around such an access (OCALL_PROTECT, _TRIM and
 * _COMMIT never block, OCALL_FILL waits for the file's page at worst).
 */
#ifndef TEEMATE_COMPARTMENT_H
#define TEEMATE_COMPARTMENT_H
#include <stdint.h>

#include "address_layout.h"
#include "clock.h"
#include "include/layout.h"
#include "memory.h"
#include "signal.h"
#include "spinlock.h"

#define PATH_SIZE 4096
#define PATCH_CACHE_SIZE 256

enum compartment_state {
    COMPARTMENT_FRESH = 0, /* measured zero: no program yet */
    COMPARTMENT_RUNNING = 1,
    COMPARTMENT_SCRUBBING = 2,
};

struct cpuid_entry {
    uint32_t leaf, subleaf, eax, ebx, ecx, edx;
};

struct futex_waiter {
    uint64_t address;
    uint32_t bits;
    uint32_t slot;
};

struct compartment {
    uint32_t state;
    uint32_t index;
    uint64_t base;

    uint32_t process_id, parent_id;
    uint32_t uid, euid, gid, egid; /* as at start, for auxv; identity calls ask the host */
    uint32_t secure;
    uint32_t hidden_fd_first, hidden_fd_last;
    uint32_t thread_count; /* slots leased, <= THREADS_MAX */
    uint32_t flags; /* START_* */
    uint64_t hwcap, hwcap2, xsave_size, xfrm;
    struct spinlock thread_lock; /* slot allocation */
    uint32_t thread_limit_logged;
    uint32_t slots_used; /* slots below this have been entered since the last scrub */
    uint32_t threads_alive; /* that have not begun to exit, under thread_lock */

    struct memory memory;
    struct spinlock accept_lock; /* of the map of accepted pages; only ever tried, in exceptions */
    struct spinlock futex_lock;
    uint32_t futex_waiter_count; /* of futex_waiters, oldest first */
    struct futex_waiter futex_waiters[THREADS_MAX];
    struct spinlock fd_lock;
    struct spinlock signal_lock;
    struct signal_action actions[SIGNAL_COUNT + 1];
    uint32_t ignored_known; /* actions has what was ignored at the start, see signal_learn_ignored() */

    struct spinlock patch_lock; /* only ever tried: held across OCALL_PROTECT */
    uint64_t trampoline_next; /* address of the first free trampoline byte, 0 before the first */
    uint64_t unpatchable[PATCH_CACHE_SIZE]; /* sites looked at in vain, by hash */
    uint64_t trapped_sites[PATCH_CACHE_SIZE]; /* traps of sites not patched yet, by hash, see patch.c */

    struct spinlock vfork_lock; /* taken first of all, held by the parent until its child has ended: see vfork.c */
    uint32_t vfork_count; /* beginnings and ends of vfork children */
    uint32_t fork_logged;

    struct clock clocks[CLOCKS_KEPT];

    struct spinlock cpuid_lock;
    struct cpuid_entry cpuid[256];
    uint32_t cpuid_count;

    uint8_t logged_syscalls[512 / 8]; /* unknown calls already named in the log */

    char program_path[PATH_SIZE]; /* /proc/self/exe */
    struct address_draw draw;
    uint64_t start_stack_low, start_stack_high;
    uint64_t start_arguments; /* where the program found argc, argv, envp and auxv when it started */
};

static inline struct compartment *compartment_at(uint64_t base)
{
    return (struct compartment *)(base + HEADER_OFFSET);
}
#endif
