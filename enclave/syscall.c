// SPDX-License-Identifier: Apache-2.0
/* From a system call of the program to its row in syscall_table.def, and back. */
#include "syscall.h"

#include <asm/siginfo.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/mqueue.h>
#include <linux/resource.h>
#include <linux/sched/types.h>
#include <linux/sem.h>
#include <linux/socket.h>
#include <linux/stat.h>
#include <linux/sysinfo.h>
#include <linux/time.h>
#include <linux/times.h>
#include <linux/timex.h>
#include <linux/uio.h>
#include <linux/utime.h>
#include <linux/utsname.h>

#include "passthrough.h"

struct syscall_row {
    const char *name; /* NULL: no such call */
    syscall_handler handler; /* NULL: passed to the host by `signature`, or refused */
    struct signature signature;
    uint8_t refused; /* enum refusal */
};
enum refusal { NOT_REFUSED = 0, REFUSED_AND_LOGGED, REFUSED_IN_SILENCE };

/* The columns of PASSED, a line each */
/* clang-format off */
#define ZERO .result = RETURNS_ZERO
#define VALUE .result = RETURNS_VALUE
#define COUNT .result = RETURNS_COUNT
#define DESCRIPTOR .result = RETURNS_DESCRIPTOR
#define UP_TO(index) .result = RETURNS_BOUNDED, .bound_index = (index)
#define ANY {.kind = ARGUMENT_VALUE}
#define NOTHING {.kind = ARGUMENT_NOTHING}
#define FD {.kind = ARGUMENT_DESCRIPTOR}
#define PATH {.kind = ARGUMENT_PATH}
#define PATH_UNLESS(flags_index, flag) {.kind = ARGUMENT_PATH, .count_index = (flags_index), .size = (flag)}
#define STRING {.kind = ARGUMENT_STRING}
#define IN(type) {.kind = ARGUMENT_IN, .size = sizeof(type)}
#define OUT(type) {.kind = ARGUMENT_OUT, .size = sizeof(type)}
#define INOUT(type) {.kind = ARGUMENT_INOUT, .size = sizeof(type)}
#define IN_ITEMS(index, type) {.kind = ARGUMENT_IN_ITEMS, .count_index = (index), .size = sizeof(type)}
#define OUT_ITEMS(index, type) {.kind = ARGUMENT_OUT_ITEMS, .count_index = (index), .size = sizeof(type)}
#define COUNTED(index, type) {.kind = ARGUMENT_OUT_COUNTED, .count_index = (index), .size = sizeof(type)}
#define LENGTH {.kind = ARGUMENT_IN_OUT_LENGTH}
/* clang-format on */

/* The rows */
#define HANDLED(number, called, ...) [number] = {.name = #called, .handler = sys_##called},
#define PASSED(number, called, returns, blocks, support, note, ...)                                                    \
    [number] = {.name = #called, .signature = {returns, .blocking = blocks, .arguments = {__VA_ARGS__}}},
#define REFUSED(number, called, ...) [number] = {.name = #called, .refused = REFUSED_AND_LOGGED},
#define UNSUPPORTED(number, called, ...) [number] = {.name = #called, .refused = REFUSED_IN_SILENCE},
static const struct syscall_row table[] = {
#include "syscall_table.def"
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

static void log_unknown(struct compartment *compartment, uint64_t number)
{
    const char *name = number < TABLE_COUNT ? table[number].name : 0;
    uint64_t known = 8 * sizeof(compartment->logged_syscalls);
    uint64_t slot = number < known ? number : known - 1;
    uint8_t bit = 1 << slot % 8;

    if (__atomic_fetch_or(&compartment->logged_syscalls[slot / 8], bit, __ATOMIC_RELAXED) & bit)
        return;
    if (name)
        host_log(LOG_WARNING, "system call %s is not supported (ENOSYS); docs/syscalls.md says why", name);
    else
        host_log(LOG_WARNING, "there is no system call %lu (ENOSYS)", number);
}

static long dispatch(struct syscall *call)
{
    const struct syscall_row *row = call->number < TABLE_COUNT ? &table[call->number] : 0;

    if (row && row->handler)
        return row->handler(call);
    if (row && row->name && !row->refused)
        return passthrough(call, &row->signature);
    if (!row || row->refused != REFUSED_IN_SILENCE)
        log_unknown(call->compartment, call->number);
    return -ENOSYS;
}

static void trace(const struct syscall *call, long result)
{
    const struct syscall_row *row = call->number < TABLE_COUNT ? &table[call->number] : 0;

    host_log(LOG_DEBUG, "[%u] %s(%lu)(%lx, %lx, %lx, %lx) = %ld", call->thread->thread_id,
             row && row->name ? row->name : "?", call->number, call->args[0], call->args[1], call->args[2],
             call->args[3], result);
}

static int wants_restart(long result)
{
    return result == -ERESTARTSYS || result == -ERESTARTNOHAND;
}

void syscall_entry(struct registers *registers)
{
    struct thread *self = thread_self();
    struct compartment *compartment = self->compartment;
    int again;

    do {
        struct syscall call = {
            .thread = self,
            .compartment = compartment,
            .registers = registers,
            .number = registers->rax,
            .args = {registers->rdi, registers->rsi, registers->rdx, registers->r10, registers->r8, registers->r9},
        };
        long result = dispatch(&call);

        if (__builtin_expect(compartment->flags & START_TRACE_SYSCALLS, 0))
            trace(&call, result);
        again = 0;
        if (wants_restart(result) || __atomic_load_n(&self->pending, __ATOMIC_RELAXED))
            again = signal_deliver(self, registers, result);
        else
            registers->rax = result;
    } while (again);
}
