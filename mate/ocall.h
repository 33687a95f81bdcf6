/* SPDX-License-Identifier: Apache-2.0 */
/* The services, by family. Each reads its struct in the exchange and leaves its result there. */
#ifndef TEEMATE_MATE_OCALL_H
#define TEEMATE_MATE_OCALL_H
#include "enclave_loop.h"
#include "thread.h"

void ocall_syscall(struct host_thread *thread);
void ocall_futex_wait(struct host_thread *thread);
void ocall_futex_wake(struct host_thread *thread);
void ocall_clock(struct host_thread *thread);
void ocall_cpuid(struct host_thread *thread);
void ocall_log(struct host_thread *thread);
void ocall_protect(struct host_thread *thread);
void ocall_commit(struct host_thread *thread);
void ocall_trim(struct host_thread *thread);
void ocall_fill(struct host_thread *thread);
void ocall_sigaction(struct host_thread *thread);
void ocall_ignored_signals(struct host_thread *thread);
void ocall_clone_thread(struct host_thread *thread);
void ocall_execve(struct host_thread *thread);
enum ocall_outcome ocall_vfork(struct host_thread *thread);

/* Back pages of the compartment. 0 or -errno. */
long memory_back(uint64_t offset, uint64_t size);
#endif
