/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trust boundary between the LibOS and the mate: the numbers of the ECALLs and OCALLs and one
 * struct for each. Nothing else crosses it.
 *
 * Each enclave thread (TCS) has one `struct exchange` in untrusted memory. The mate names it in RSI at
 * EENTER. To the LibOS everything in it is data, not truth: it is copied once, then range-checked.
 *
 * Register convention at EENTER (the hardware sets RAX = CSSA, RBX = TCS, RCX = address to EEXIT to):
 *   RDI = enum ecall, RSI = struct exchange *, RDX = argument of the ECALL
 * At EEXIT the LibOS has restored RSP and RBP and cleared all other general and vector registers.
 */
#ifndef TEEMATE_OCALL_H
#define TEEMATE_OCALL_H
#include <stdint.h>

/* Why the mate enters */
enum ecall {
    /* CSSA = 0 */
    ECALL_START = 1, /* thread slot 0 of a fresh compartment: run the program in start_block */
    ECALL_START_THREAD = 2, /* a slot that OCALL_CLONE_THREAD named: continue the cloned thread */
    ECALL_OCALL_RETURN = 3, /* continue after an OCALL; its struct holds the result */
    ECALL_SCRUB = 4, /* slot 0, by the daemon's janitor: erase the compartment, then OCALL_SCRUBBED */
    /*
     * Slot 0 of a fresh compartment, by the janitor: draw its program's places, then OCALL_PREPARED. The argument is
     * how much memory the host has for its code.
     */
    ECALL_PREPARE = 5,
    /* CSSA = 1 (an AEX happened); each ends in OCALL_EXCEPTION_DONE, then the mate ERESUMEs */
    ECALL_EXCEPTION = 16, /* the AEX was an exception: SSA[0].EXITINFO tells which */
    ECALL_SIGNAL = 17, /* signals wait in exchange.signals */
    ECALL_RESET = 18, /* recovery: make SSA[0] resume at the LibOS's reset routine, which frees the TCS */
    ECALL_VFORK_DIED = 19, /* by its parent: the vfork child was killed in the enclave, SSA[0] is where */
};

enum ocall {
    OCALL_SYSCALL = 1,
    OCALL_EXIT_THREAD,
    OCALL_EXIT_GROUP,
    OCALL_RAISE_DEFAULT,
    OCALL_CLONE_THREAD,
    OCALL_FUTEX_WAIT,
    OCALL_FUTEX_WAKE,
    OCALL_CLOCK,
    OCALL_PROTECT,
    OCALL_COMMIT,
    OCALL_TRIM,
    OCALL_SIGACTION,
    OCALL_CPUID,
    OCALL_EXECVE,
    OCALL_VFORK,
    OCALL_LOG,
    OCALL_SCRUBBED,
    OCALL_EXCEPTION_DONE,
    OCALL_RESET_DONE,
    OCALL_REFUSED, /* the ECALL makes no sense in the state that this TCS is in; nothing was done */
    OCALL_FILL,
    OCALL_PREPARED,
    OCALL_IGNORED_SIGNALS,
};

/*
 * A host system call in the container's own process, with its own credentials and namespaces. Pointer
 * arguments point into the exchange buffer. With INTERRUPTIBLE the mate returns -EINTR instead of
 * blocking when exchange.signal_pending is set, without a window in which a signal is lost.
 */
#define OCALL_SYSCALL_INTERRUPTIBLE 1
struct ocall_syscall {
    uint32_t number;
    uint32_t flags;
    uint64_t args[6];
    int64_t result; /* as from the kernel: -4095..-1 is -errno */
};

struct ocall_exit_group {
    uint32_t status; /* exit status, 0..255 */
};

/* End the process as the kernel would for this signal's default action (right wait status). */
struct ocall_raise_default {
    uint32_t signal;
};

/* Start a host thread which enters the compartment's slot with ECALL_START_THREAD. */
struct ocall_clone_thread {
    uint32_t slot;
    int64_t result; /* host thread id or -errno */
};

/*
 * Sleep while `exchange.park_word` is 0. Always interruptible. The deadline is absolute on the named
 * clock. Result 0, -EINTR, -ETIMEDOUT or -EAGAIN.
 */
struct ocall_futex_wait {
    uint32_t has_deadline;
    uint32_t clock; /* CLOCK_MONOTONIC or CLOCK_REALTIME */
    int64_t deadline_sec;
    int64_t deadline_nsec;
    int64_t result;
};

/* Set park_word of these slots to 1 and wake their host threads. */
struct ocall_futex_wake {
    uint64_t slots[4]; /* bit map, THREADS_MAX bits */
};

/* clock_gettime through the host's vDSO. */
struct ocall_clock {
    uint32_t clock;
    int64_t sec;
    int64_t nsec;
    int64_t result;
};

/* Page-aligned ranges of the compartment, offsets from its base. prot as in mmap(2). */
struct ocall_protect {
    uint64_t offset;
    uint64_t size;
    uint32_t prot;
    uint32_t commit; /* nonzero: also commit the range, as OCALL_COMMIT */
    int64_t result;
};
struct ocall_commit { /* a hint: back the range with EPC pages at once instead of by single faults */
    uint64_t offset;
    uint64_t size;
};
struct ocall_trim { /* give the range's EPC pages back; they read as zero when touched again */
    uint64_t offset;
    uint64_t size;
    int64_t result;
};

/*
 * Pages that appear with content and permissions at once, so that no other thread sees them half filled: what
 * EAUG and EACCEPTCOPY do on SGX 2. The source is host memory. result: bytes filled, whole pages from the start;
 * fewer where the source has no more (the end of a file). -EOPNOTSUPP: never possible with this EPC.
 */
struct ocall_fill {
    uint64_t offset;
    uint64_t size;
    uint64_t source;
    uint32_t prot;
    uint32_t reserved;
    int64_t result;
};

enum signal_disposition { DISPOSITION_DEFAULT, DISPOSITION_IGNORE, DISPOSITION_CATCH };
struct ocall_sigaction {
    uint32_t signal;
    uint32_t disposition;
    uint64_t flags; /* the program's SA_NOCLDSTOP and SA_NOCLDWAIT only */
    int64_t result;
};

/* Asked before the first OCALL_SIGACTION: few programs want to know, and to find out takes a host call for each. */
struct ocall_ignored_signals {
    uint64_t signals; /* bit n-1: signal n was SIG_IGN when the process started */
};

struct ocall_cpuid {
    uint32_t leaf, subleaf;
    uint32_t eax, ebx, ecx, edx;
};

/*
 * Replace the process image. The exchange buffer holds, NUL-terminated in a row: path, argv..., envp...
 * On success the mate re-executes itself and enters the same compartment anew; otherwise -errno.
 */
struct ocall_execve {
    uint32_t argument_count;
    uint32_t environment_count;
    uint64_t strings_size;
    int64_t result;
};

/*
 * vfork: a host process that runs in this compartment until it execs or exits, while the calling thread
 * waits. Result: 0 in the child, the child's process id in the parent, or -errno.
 */
struct ocall_vfork {
    int64_t result;
};

/* A line for the mate's log, text in the exchange buffer. */
enum log_level { LOG_ERROR = 0, LOG_WARNING = 1, LOG_DEBUG = 2 };
struct ocall_log {
    uint32_t level; /* enum log_level */
    uint32_t size;
};

struct ocall_scrubbed {
    uint64_t page_count; /* pages erased */
};

/*
 * Where the next program of this compartment will have the memory that it touches first: the host sees that anyway when
 * the program starts, and can back these pages before. A scrub gives them back, touched or not.
 */
#define PREPARED_REST_MAX 0x80000 /* beyond the code */
#define PREPARED_PROGRAM_RANGES 4
#define PREPARED_RANGES 10 /* the program's, then those of the LibOS's tables */
struct prepared_range {
    uint64_t offset;
    uint64_t size;
};
struct ocall_prepared {
    struct prepared_range ranges[PREPARED_RANGES];
};

/* One signal that the mate's handler took while the thread was outside, or by AEX. */
struct exchange_signal {
    uint32_t signal;
    int32_t code;
    uint8_t siginfo[128]; /* the kernel's siginfo_t */
};
#define EXCHANGE_SIGNALS 32

struct exchange {
    uint32_t op; /* enum ocall, set by the LibOS before EEXIT */
    uint32_t slot;
    uint64_t buffer; /* untrusted copy buffer of this thread */
    uint64_t buffer_size;
    uint64_t start_block; /* struct start_block, for ECALL_START; in the buffer, unless that is too small */
    uint32_t park_word; /* see OCALL_FUTEX_WAIT */
    /*
     * Ring of signals: the mate's handler (all signals blocked) writes at head, the LibOS reads at
     * tail. signal_pending is set after an entry is written and cleared by the LibOS before it reads.
     */
    uint32_t signal_pending;
    uint32_t signal_head;
    uint32_t signal_tail;
    union {
        struct ocall_syscall syscall;
        struct ocall_exit_group exit_group;
        struct ocall_raise_default raise_default;
        struct ocall_clone_thread clone_thread;
        struct ocall_futex_wait futex_wait;
        struct ocall_futex_wake futex_wake;
        struct ocall_clock clock;
        struct ocall_protect protect;
        struct ocall_commit commit;
        struct ocall_trim trim;
        struct ocall_fill fill;
        struct ocall_sigaction sigaction;
        struct ocall_ignored_signals ignored_signals;
        struct ocall_cpuid cpuid;
        struct ocall_execve execve;
        struct ocall_vfork vfork;
        struct ocall_log log;
        struct ocall_scrubbed scrubbed;
        struct ocall_prepared prepared;
    } u;
    /*
     * How an entry at CSSA = 1 ended (OCALL_EXCEPTION_DONE or OCALL_RESET_DONE). Apart from `op`, because
     * the AEX may have interrupted the LibOS while `op` and `u` held an OCALL. Nothing else is ever asked
     * for at CSSA = 1: what an exception needs from the host, the LibOS does after ERESUME.
     */
    uint32_t exception_op;
    uint32_t reserved;
    struct exchange_signal signals[EXCHANGE_SIGNALS]; /* last: without a signal, it is not touched */
};
#define EXCHANGE_BUFFER_SIZE 0x40000

/*
 * What the program starts with. The mate fills one block of block_size bytes; the LibOS copies it before it uses the
 * exchange buffer, where the block may be.
 * Strings follow the struct in a row, each NUL-terminated: program path (already looked up in PATH),
 * argv[argument_count], envp[environment_count].
 */
#define START_BLOCK_SIZE_MAX 0x280000
struct start_block {
    uint64_t block_size; /* the struct and its strings */
    uint32_t argument_count;
    uint32_t environment_count;
    uint32_t process_id, parent_id;
    uint32_t uid, euid, gid, egid;
    uint32_t secure; /* AT_SECURE */
    uint32_t hidden_fd_first; /* the mate's own descriptors: the program must not see them */
    uint32_t hidden_fd_last; /* inclusive */
    uint32_t thread_count; /* slots the lease holds */
    uint64_t memory_limit; /* bytes the program may commit */
    uint64_t stack_limit; /* RLIMIT_STACK */
    uint64_t hwcap, hwcap2; /* AT_HWCAP, AT_HWCAP2 */
    uint64_t xsave_size; /* bytes of XSAVE state for the enclave's XFRM */
    uint64_t xfrm;
    uint64_t blocked_signals; /* signal mask at start */
    uint32_t flags;
    uint32_t reserved;
};
#define START_TRACE_SYSCALLS 1 /* log each system call (debug) */
#define START_NO_PATCH 2 /* leave syscall sites alone: each traps (debug) */
#define START_TSC_CLOCK 4 /* the host's clocks run by the time-stamp counter, which RDTSC may read in an enclave */
#define START_XSAVEC 8 /* the CPU has XSAVEC, and XGETBV of register 1 */
#endif
