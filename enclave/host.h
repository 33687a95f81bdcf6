/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LibOS's side of the OCALLs. Every function here leaves the enclave once. Results are copied
 * once from untrusted memory and range-checked: an impossible answer becomes -EIO (or ends the program
 * where there is no sane continuation), never a wild value.
 */
#ifndef TEEMATE_HOST_H
#define TEEMATE_HOST_H
#include <stddef.h>
#include <stdint.h>

#include "include/ocall.h"

/* Untrusted copy buffer of this thread, wholly outside ELRANGE. Its content can change at any time. */
char *host_buffer(void);
#define HOST_BUFFER_SIZE EXCHANGE_BUFFER_SIZE

/*
 * A host system call. Pointer arguments must point into host_buffer(). Returns the kernel's result;
 * anything in (-2^63, -4096] is turned into -EIO.
 */
long host_syscall(uint32_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
/* The same for a call that may block: -EINTR as soon as a signal is pending. */
long host_syscall_interruptible(uint32_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                                uint64_t a5);

_Noreturn void host_exit_thread(void);
_Noreturn void host_exit_group(uint32_t status);
_Noreturn void host_raise_default(uint32_t signal);
long host_clone_thread(uint32_t slot);
/* deadline NULL: for ever */
struct host_deadline {
    uint32_t clock;
    int64_t sec, nsec;
};
long host_futex_wait(const struct host_deadline *deadline);
void host_futex_wake(const uint64_t slots[4]);
long host_clock(uint32_t clock, int64_t *sec, int64_t *nsec);
long host_protect(uint64_t offset, uint64_t size, uint32_t prot, int commit);
void host_commit(uint64_t offset, uint64_t size);
long host_trim(uint64_t offset, uint64_t size);
/* Returns the bytes filled, whole pages from the start, or -errno. */
long host_fill(uint64_t offset, uint64_t size, uint64_t source, uint32_t prot);
long host_sigaction(uint32_t signal, uint32_t disposition, uint64_t flags);
uint64_t host_ignored_signals(void);
void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
long host_execve(uint32_t argument_count, uint32_t environment_count, uint64_t strings_size);

/*
 * printf subset: %s %d %u %x %lx %lu %ld. One line, truncated at 512 bytes. level as in ocall_log.
 * Overwrites the start of host_buffer().
 */
void host_log(uint32_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* At an entry that starts something: take over the copy buffer that the exchange names. 0 if it is unusable. */
struct thread;
int host_attach(struct thread *self);

/* ocall.S and leave.S: leave with what the exchange asks for. */
void enclave_ocall(void);
_Noreturn void enclave_exit_thread(void); /* and free this slot */
_Noreturn void enclave_leave(void); /* for good, but the slot stays taken */

/* Does [address, address + size) lie wholly outside ELRANGE? Not if it overflows. */
int outside_enclave(uint64_t address, uint64_t size);
#endif
