/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A LibOS of one file that drives the mate through vfork and execve. The program's first argument says what to do:
 *
 *   spawn PATH [ARG...]  vfork; the child executes PATH with ARG..., the parent exits with the child's status
 *   vexit N              vfork; the child exits with N, and so does the parent
 *   exit N               exit with N
 *   exec PATH [ARG...]   execute PATH with ARG... in this process
 */
#include "enclave/include/layout.h"
#include "enclave/include/ocall.h"

#define NR_WAIT4 61
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
    if (equal(state.arguments[1], "exec")) {
        execute(&state, 2);
        leave(exchange, EXEC_FAILED);
    }
    exchange->op = OCALL_VFORK;
    fake_ocall(exchange);
    leave(exchange, status_of(exchange, exchange->u.vfork.result));
}
