/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCALLs. The exchange is host memory that can change between any two loads: results are loaded once,
 * through a volatile pointer, and checked before anything depends on them.
 */
#include <asm/errno.h>

#include "accept.h"
#include "host.h"
#include "memory.h"
#include "thread.h"
#include "vfork.h"

#define EIO 5
#define EINTR 4
#define EAGAIN 11
#define ETIMEDOUT 110
#define ERRNO_MAX 4095
#define NANOSECONDS 1000000000L
#define THREAD_ID_MAX 0x3fffffff /* futex words hold thread ids of 30 bits */

typedef volatile struct exchange host_exchange;

static host_exchange *begin(enum ocall op)
{
    host_exchange *exchange = thread_self()->exchange;
    exchange->op = op;
    return exchange;
}

/* The exchange after return, which may be another one than before. Does not return in a vfork's parent. */
static host_exchange *leave(void)
{
    struct thread *self = thread_self();
    enclave_ocall();
    if (self->is_vfork_child)
        vfork_check_return(self);
    return self->exchange;
}

/* 0 or -errno, nothing else */
static long status_of(int64_t result)
{
    return result <= 0 && result >= -ERRNO_MAX ? result : -EIO;
}

int outside_enclave(uint64_t address, uint64_t size)
{
    uint64_t end;
    if (__builtin_add_overflow(address, size, &end))
        return 0;
    return end <= ENCLAVE_BASE || address >= ENCLAVE_BASE + ELRANGE_SIZE_MAX;
}

int host_attach(struct thread *self)
{
    host_exchange *exchange = self->exchange;
    uint64_t buffer = exchange->buffer;
    if (!outside_enclave(buffer, HOST_BUFFER_SIZE) || exchange->buffer_size < HOST_BUFFER_SIZE)
        return 0;
    self->host_buffer = (char *)buffer;
    return 1;
}

char *host_buffer(void)
{
    return thread_self()->host_buffer;
}

static long system_call(uint32_t flags, uint32_t number, const uint64_t args[6])
{
    host_exchange *exchange = begin(OCALL_SYSCALL);
    exchange->u.syscall.number = number;
    exchange->u.syscall.flags = flags;
    for (int i = 0; i < 6; i++)
        exchange->u.syscall.args[i] = args[i];
    int64_t result = leave()->u.syscall.result;
    return result < -ERRNO_MAX ? -EIO : result;
}

long host_syscall(uint32_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    return system_call(0, number, (uint64_t[6]){a0, a1, a2, a3, a4, a5});
}

long host_syscall_interruptible(uint32_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                                uint64_t a5)
{
    return system_call(OCALL_SYSCALL_INTERRUPTIBLE, number, (uint64_t[6]){a0, a1, a2, a3, a4, a5});
}

_Noreturn void host_exit_thread(void)
{
    begin(OCALL_EXIT_THREAD);
    enclave_exit_thread();
}

_Noreturn void host_exit_group(uint32_t status)
{
    for (;;) { /* a host that enters again is told the same */
        begin(OCALL_EXIT_GROUP)->u.exit_group.status = status & 0xff;
        leave();
    }
}

_Noreturn void host_raise_default(uint32_t signal)
{
    for (;;) {
        begin(OCALL_RAISE_DEFAULT)->u.raise_default.signal = signal;
        leave();
    }
}

long host_clone_thread(uint32_t slot)
{
    begin(OCALL_CLONE_THREAD)->u.clone_thread.slot = slot;
    int64_t result = leave()->u.clone_thread.result;
    if (result > 0)
        return result <= THREAD_ID_MAX ? result : -EIO;
    return result < 0 && result >= -ERRNO_MAX ? result : -EIO;
}

long host_futex_wait(const struct host_deadline *deadline)
{
    host_exchange *exchange = begin(OCALL_FUTEX_WAIT);
    exchange->u.futex_wait.has_deadline = deadline != NULL;
    exchange->u.futex_wait.clock = deadline ? deadline->clock : 0;
    exchange->u.futex_wait.deadline_sec = deadline ? deadline->sec : 0;
    exchange->u.futex_wait.deadline_nsec = deadline ? deadline->nsec : 0;
    int64_t result = leave()->u.futex_wait.result;
    if (result == -EINTR || result == -EAGAIN || (result == -ETIMEDOUT && deadline))
        return result;
    return 0; /* to the caller any other answer is a wake-up for no reason */
}

void host_futex_wake(const uint64_t slots[4])
{
    host_exchange *exchange = begin(OCALL_FUTEX_WAKE);
    for (int i = 0; i < 4; i++)
        exchange->u.futex_wake.slots[i] = slots[i];
    leave();
}

long host_clock(uint32_t clock, int64_t *sec, int64_t *nsec)
{
    begin(OCALL_CLOCK)->u.clock.clock = clock;
    host_exchange *exchange = leave();
    long status = status_of(exchange->u.clock.result);
    if (status)
        return status;
    int64_t host_sec = exchange->u.clock.sec, host_nsec = exchange->u.clock.nsec;
    if (host_sec < 0 || host_nsec < 0 || host_nsec >= NANOSECONDS)
        return -EIO;
    *sec = host_sec;
    *nsec = host_nsec;
    return 0;
}

long host_protect(uint64_t offset, uint64_t size, uint32_t prot, int commit)
{
    host_exchange *exchange = begin(OCALL_PROTECT);
    exchange->u.protect.offset = offset;
    exchange->u.protect.size = size;
    exchange->u.protect.prot = prot;
    exchange->u.protect.commit = commit != 0;
    return status_of(leave()->u.protect.result);
}

void host_commit(uint64_t offset, uint64_t size)
{
    host_exchange *exchange = begin(OCALL_COMMIT);
    exchange->u.commit.offset = offset;
    exchange->u.commit.size = size;
    leave();
}

long host_trim(uint64_t offset, uint64_t size)
{
    /* What SGX protects from the host, the host cannot erase: that it says so is not enough. */
    if (enclu_is_real())
        return -EOPNOTSUPP;
    host_exchange *exchange = begin(OCALL_TRIM);
    exchange->u.trim.offset = offset;
    exchange->u.trim.size = size;
    return status_of(leave()->u.trim.result);
}

long host_fill(uint64_t offset, uint64_t size, uint64_t source, uint32_t prot)
{
    host_exchange *exchange = begin(OCALL_FILL);
    exchange->u.fill.offset = offset;
    exchange->u.fill.size = size;
    exchange->u.fill.source = source;
    exchange->u.fill.prot = prot;
    int64_t result = leave()->u.fill.result;
    if (result < 0)
        return status_of(result);
    return (uint64_t)result <= size && result % PAGE_SIZE == 0 ? result : -EIO;
}

long host_sigaction(uint32_t signal, uint32_t disposition, uint64_t flags)
{
    host_exchange *exchange = begin(OCALL_SIGACTION);
    exchange->u.sigaction.signal = signal;
    exchange->u.sigaction.disposition = disposition;
    exchange->u.sigaction.flags = flags;
    return status_of(leave()->u.sigaction.result);
}

uint64_t host_ignored_signals(void)
{
    begin(OCALL_IGNORED_SIGNALS);
    return leave()->u.ignored_signals.signals;
}

void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    host_exchange *exchange = begin(OCALL_CPUID);
    exchange->u.cpuid.leaf = leaf;
    exchange->u.cpuid.subleaf = subleaf;
    exchange = leave();
    out[0] = exchange->u.cpuid.eax;
    out[1] = exchange->u.cpuid.ebx;
    out[2] = exchange->u.cpuid.ecx;
    out[3] = exchange->u.cpuid.edx;
}

long host_execve(uint32_t argument_count, uint32_t environment_count, uint64_t strings_size)
{
    host_exchange *exchange = begin(OCALL_EXECVE);
    exchange->u.execve.argument_count = argument_count;
    exchange->u.execve.environment_count = environment_count;
    exchange->u.execve.strings_size = strings_size;
    int64_t result = leave()->u.execve.result;
    return result < 0 && result >= -ERRNO_MAX ? result : -EIO; /* success does not return */
}
