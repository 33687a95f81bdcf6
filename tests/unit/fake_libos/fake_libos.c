/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A LibOS of one file that drives the mate through vfork and execve. The program's first argument says what to do:
 *
 *   spawn PATH [ARG...]  vfork; the child executes PATH with ARG..., the parent exits with the child's status
 *   vexit N              vfork; the child exits with N, and so does the parent
 *   exit N               exit with N
 *   exec PATH [ARG...]   execute PATH with ARG... in this process
 *   signalled PATH       make calls that may wait while a signal is pending; exit with the number of the first that
 *                        gave another result than in a process, or with 0. PATH is a file of at least a page
 */
#include "enclave/include/layout.h"
#include "enclave/include/ocall.h"

#define NR_READ 0
#define NR_WRITE 1
#define NR_PREAD64 17
#define NR_PAUSE 34
#define NR_WAIT4 61
#define NR_OPENAT 257
#define NR_PIPE2 293
#define O_NONBLOCK 04000
#define EAGAIN 11
#define EBADF 9
#define EINTR 4
#define LARGE 8192
#define ARGUMENTS_MAX 16

enum { BAD_ARGUMENTS = 96, WAIT_FAILED, FORK_FAILED, EXEC_FAILED };

void fake_ocall(struct exchange *exchange);
void fake_after_vfork(struct exchange *exchange);
void fake_main(uint64_t ecall, struct exchange *exchange);
_Static_assert(OCALL_VFORK == 15, "fake_libos.S");

struct state {
    struct exchange *exchange;
    char *arguments[ARGUMENTS_MAX];
    uint32_t count;
};

static uint64_t length(const char *s)
{
    uint64_t size = 0;

    while (s[size])
        size++;
    return size;
}

static int equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static uint32_t number(const char *s)
{
    uint32_t value = 0;

    while (*s)
        value = value * 10 + (uint32_t)(*s++ - '0');
    return value;
}

static int64_t system_call(struct exchange *exchange, uint32_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    exchange->op = OCALL_SYSCALL;
    exchange->u.syscall = (struct ocall_syscall){.number = nr, .args = {a, b, c}};
    fake_ocall(exchange);
    return exchange->u.syscall.result;
}

static int64_t call_that_may_wait(struct exchange *exchange, uint32_t nr, uint64_t a, uint64_t b, uint64_t c,
                                  uint64_t d)
{
    exchange->op = OCALL_SYSCALL;
    exchange->u.syscall =
        (struct ocall_syscall){.number = nr, .flags = OCALL_SYSCALL_INTERRUPTIBLE, .args = {a, b, c, d}};
    fake_ocall(exchange);
    return exchange->u.syscall.result;
}

/* What does not wait is done all the same. */
static uint32_t first_difference(struct exchange *exchange, const char *path)
{
    volatile uint32_t *ends = (volatile uint32_t *)exchange->buffer;
    uint64_t data = exchange->buffer + sizeof(uint64_t);

    if (system_call(exchange, NR_PIPE2, exchange->buffer, 0, 0))
        return BAD_ARGUMENTS;
    exchange->signal_pending = 1;
    if (call_that_may_wait(exchange, NR_PAUSE, 0, 0, 0, 0) != -EINTR)
        return 1;
    if (call_that_may_wait(exchange, NR_READ, ends[0], data, 1, 0) != -EINTR)
        return 2;
    if (call_that_may_wait(exchange, NR_WRITE, ends[1], data, 2, 0) != 2)
        return 3;
    if (call_that_may_wait(exchange, NR_READ, ends[0], data, 1, 0) != 1)
        return 4;
    if (call_that_may_wait(exchange, NR_WRITE, ends[1], data, LARGE, 0) != -EINTR)
        return 5;
    if (call_that_may_wait(exchange, NR_READ, (uint64_t)-1, data, 1, 0) != -EBADF)
        return 6;
    if (system_call(exchange, NR_PIPE2, exchange->buffer, O_NONBLOCK, 0))
        return BAD_ARGUMENTS;
    if (call_that_may_wait(exchange, NR_READ, ends[0], data, 1, 0) != -EAGAIN)
        return 7;

    char *to = (char *)data;
    for (uint64_t n = 0; n <= length(path); n++)
        to[n] = path[n];
    int64_t file = call_that_may_wait(exchange, NR_OPENAT, 0, data, 0, 0);
    if (file < 0)
        return 8;
    if (call_that_may_wait(exchange, NR_READ, (uint64_t)file, data, LARGE / 2, 0) != LARGE / 2)
        return 9;
    if (call_that_may_wait(exchange, NR_PREAD64, (uint64_t)file, data, LARGE / 2, 0) != LARGE / 2)
        return 10;
    return 0;
}

static _Noreturn void leave(struct exchange *exchange, uint32_t status)
{
    exchange->op = OCALL_EXIT_GROUP;
    exchange->u.exit_group.status = status;
    fake_ocall(exchange);
    __builtin_unreachable();
}

static void execute(struct state *state, uint32_t first)
{
    struct exchange *exchange = state->exchange;
    char *to = (char *)exchange->buffer;

    exchange->u.execve = (struct ocall_execve){.argument_count = state->count - first};
    for (uint32_t i = first, repeat = 1; i < state->count; i += !repeat, repeat = 0) /* the path is argv[0], too */
        for (uint64_t n = 0; n <= length(state->arguments[i]); n++)
            *to++ = state->arguments[i][n];
    exchange->u.execve.strings_size = (uint64_t)to - exchange->buffer;
    exchange->op = OCALL_EXECVE;
    fake_ocall(exchange);
}

static uint32_t status_of(struct exchange *exchange, int64_t child)
{
    volatile uint32_t *status = (volatile uint32_t *)exchange->buffer;

    if (child < 0)
        return FORK_FAILED;
    if (system_call(exchange, NR_WAIT4, (uint64_t)child, exchange->buffer, 0) != child)
        return WAIT_FAILED;
    return *status >> 8 & 0xff;
}

static void read_arguments(struct state *state, struct exchange *exchange)
{
    const struct start_block *block = (const struct start_block *)exchange->start_block;
    char *string = (char *)(block + 1);

    state->exchange = exchange;
    state->count = block->argument_count < ARGUMENTS_MAX ? block->argument_count : ARGUMENTS_MAX;
    for (uint32_t i = 0; i < state->count; i++) {
        string += length(string) + 1; /* behind the path, at first */
        state->arguments[i] = string;
    }
}

/* On a stack of its own. The parent returns from here, the child does not. */
void fake_after_vfork(struct exchange *exchange)
{
    struct state state;

    if (exchange->u.vfork.result)
        return;
    read_arguments(&state, exchange);
    if (equal(state.arguments[1], "vexit"))
        leave(exchange, number(state.arguments[2]));
    execute(&state, 2);
    leave(exchange, EXEC_FAILED);
}

void fake_main(uint64_t ecall, struct exchange *exchange)
{
    struct state state;

    if (ecall == ECALL_SCRUB) {
        exchange->op = OCALL_SCRUBBED;
        exchange->u.scrubbed.page_count = 0;
        fake_ocall(exchange);
    }
    read_arguments(&state, exchange);
    if (state.count < 3)
        leave(exchange, BAD_ARGUMENTS);
    if (equal(state.arguments[1], "exit"))
        leave(exchange, number(state.arguments[2]));
    if (equal(state.arguments[1], "signalled"))
        leave(exchange, first_difference(exchange, state.arguments[2]));
    if (equal(state.arguments[1], "exec")) {
        execute(&state, 2);
        leave(exchange, EXEC_FAILED);
    }
    exchange->op = OCALL_VFORK;
    fake_ocall(exchange);
    leave(exchange, status_of(exchange, exchange->u.vfork.result));
}
