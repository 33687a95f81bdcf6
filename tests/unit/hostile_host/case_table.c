/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every row that is passed to the host, with program buffers of exactly the size that the row says and a host
 * that answers at random. The source is included for its table, which nothing else may see.
 */
#include "../../../enclave/syscall.c"

#include <asm/poll.h>
#include <asm/unistd.h>
#include <limits.h>

#include "cases.h"
#include "fake.h"
#include "string.h"

#define ROUNDS 200
#define COUNT_ASKED 24
#define ARGUMENT_ZERO 0xff /* of handlers here: NULL, or no flags */
#define ZERO_GIVEN                                                                                                     \
    {                                                                                                                  \
        .kind = ARGUMENT_ZERO                                                                                          \
    }
#define UNUSED_REGISTER 0x5ec4e7 /* what the program has in registers that are no arguments of the call */

static uint64_t seed = 88172645463325252ULL;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static long random_answer(uint32_t number, const uint64_t args[6])
{
    static const long lies[] = {
        0,        1,        -1,    COUNT_ASKED, COUNT_ASKED + 1, 129, FAKE_HIDDEN_FIRST, INT_MAX, INT_MAX + 1L,
        1L << 40, LONG_MAX, -4096, LONG_MIN};

    for (int i = 0; i < ARGUMENTS_MAX; i++)
        fake_expect(args[i] != UNUSED_REGISTER, number < TABLE_COUNT ? table[number].name : "?", __FILE__, __LINE__);
    for (uint64_t i = 0; i < 1024; i += sizeof(uint64_t)) /* lengths among them */
        *(uint64_t *)(host_buffer() + i) = next_random() % 4 ? next_random() : next_random() % 200;
    return lies[next_random() % (sizeof(lies) / sizeof(lies[0]))];
}

/* What the program passes as this argument; counts come from the arguments that refer to them. */
static uint64_t make_argument(const struct argument *argument)
{
    static const char path[] = "/tmp/path";
    uint32_t *capacity;

    switch (argument->kind) {
    case ARGUMENT_STRING:
    case ARGUMENT_PATH:
        return (uint64_t)memcpy(fake_program_buffer(sizeof(path)), path, sizeof(path));
    case ARGUMENT_IN:
    case ARGUMENT_OUT:
    case ARGUMENT_INOUT:
        return (uint64_t)fake_program_buffer(argument->size);
    case ARGUMENT_IN_ITEMS:
    case ARGUMENT_OUT_ITEMS:
        return (uint64_t)fake_program_buffer(COUNT_ASKED * argument->size);
    case ARGUMENT_OUT_COUNTED:
        return (uint64_t)fake_program_buffer(COUNT_ASKED);
    case ARGUMENT_IN_OUT_LENGTH:
        capacity = fake_program_buffer(sizeof(*capacity));
        *capacity = COUNT_ASKED;
        return (uint64_t)capacity;
    case ARGUMENT_NOTHING:
        return UNUSED_REGISTER;
    case ARGUMENT_ZERO:
        return 0;
    default:
        return 3;
    }
}

static int result_is_sane(const struct signature *signature, const struct syscall *call, long result)
{
    if (result < 0)
        return result >= -4095;
    switch (signature->result) {
    case RETURNS_ZERO:
        return result == 0;
    case RETURNS_COUNT:
        return result <= COUNT_ASKED;
    case RETURNS_BOUNDED:
        return (uint64_t)result <= call->args[signature->bound_index];
    case RETURNS_DESCRIPTOR:
        return result <= INT_MAX && !fd_is_hidden(&fake_compartment, result);
    default:
        return 1;
    }
}

static void fill_arguments(struct syscall *call, const struct signature *signature)
{
    for (int i = 0; i < ARGUMENTS_MAX; i++)
        call->args[i] = make_argument(&signature->arguments[i]);
    for (int i = 0; i < ARGUMENTS_MAX; i++) {
        int kind = signature->arguments[i].kind;
        if (kind == ARGUMENT_IN_ITEMS || kind == ARGUMENT_OUT_ITEMS)
            call->args[signature->arguments[i].count_index] = COUNT_ASKED;
    }
}

static void release_arguments(const struct syscall *call)
{
    for (int i = 0; i < ARGUMENTS_MAX; i++)
        if (call->args[i] > COUNT_ASKED && call->args[i] != UNUSED_REGISTER)
            fake_release((void *)call->args[i]);
}

static void try_row(const struct syscall_row *row, uint32_t number)
{
    struct syscall call = {.compartment = &fake_compartment, .number = number};

    fill_arguments(&call, &row->signature);
    long result = passthrough(&call, &row->signature);
    fake_expect(result_is_sane(&row->signature, &call, result), row->name, __FILE__, __LINE__);
    release_arguments(&call);
}

static void every_row_withstands_random_answers(void)
{
    fake_host = random_answer;
    for (int round = 0; round < ROUNDS; round++) {
        fake_scribbles = round % 2;
        for (uint32_t number = 0; number < TABLE_COUNT; number++)
            if (table[number].name && !table[number].handler && !table[number].refused)
                try_row(&table[number], number);
    }
}

static long claimed;

/* What handlers take, in the words of the table: no pointers within what is pointed to. */
static const struct {
    const char *name;
    syscall_handler handler;
    uint32_t number;
    struct signature signature;
} handlers[] = {
/* clang-format off */
#define HANDLER(called, returns, ...)                                                                                  \
    {.name = #called, .handler = sys_##called, .number = __NR_##called,                                                \
     .signature = {returns, .arguments = {__VA_ARGS__}}}
    /* clang-format on */
    HANDLER(read, COUNT, FD, OUT_ITEMS(2, char), ANY),
    HANDLER(write, COUNT, FD, IN_ITEMS(2, char), ANY),
    HANDLER(pread64, COUNT, FD, OUT_ITEMS(2, char), ANY, ANY),
    HANDLER(pwrite64, COUNT, FD, IN_ITEMS(2, char), ANY, ANY),
    HANDLER(open, DESCRIPTOR, PATH, ANY, ANY),
    HANDLER(readlink, COUNT, PATH, OUT_ITEMS(2, char), ANY),
    HANDLER(getdents64, COUNT, FD, OUT_ITEMS(2, char), ANY),
    HANDLER(getdents, COUNT, FD, OUT_ITEMS(2, char), ANY),
    HANDLER(pipe2, ZERO, OUT(int[2]), ANY),
    HANDLER(socketpair, ZERO, ANY, ANY, ANY, OUT(int[2])),
    HANDLER(sendto, COUNT, FD, IN_ITEMS(2, char), ANY, ZERO_GIVEN, ZERO_GIVEN, ZERO_GIVEN),
    HANDLER(recvfrom, COUNT, FD, OUT_ITEMS(2, char), ANY, ZERO_GIVEN, OUT(char[COUNT_ASKED]), LENGTH),
    HANDLER(poll, COUNT, IN_ITEMS(1, struct pollfd), ANY, ANY),
    HANDLER(ppoll, COUNT, IN_ITEMS(1, struct pollfd), ANY, INOUT(struct __kernel_timespec), ZERO_GIVEN),
    HANDLER(select, VALUE, ANY, INOUT(uint64_t), INOUT(uint64_t), INOUT(uint64_t), INOUT(struct __kernel_old_timeval)),
    HANDLER(epoll_wait, COUNT, FD, OUT_ITEMS(2, struct epoll_event), ANY, ANY),
    HANDLER(nanosleep, ZERO, IN(struct __kernel_timespec), OUT(struct __kernel_timespec)),
    HANDLER(fcntl, VALUE, FD, ANY),
};

static void every_handler_withstands_random_answers(void)
{
    fake_host = random_answer;
    for (int round = 0; round < ROUNDS; round++) {
        fake_scribbles = round % 2;
        for (unsigned i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
            struct syscall call;
            struct fake_arguments arguments;
            fill_arguments(&call, &handlers[i].signature);
            memcpy(arguments.a, call.args, sizeof(arguments.a));
            long result = fake_call(handlers[i].handler, handlers[i].number, arguments);
            fake_expect(result_is_sane(&handlers[i].signature, &call, result), handlers[i].name, __FILE__, __LINE__);
            release_arguments(&call);
        }
    }
}

static long claim(uint32_t number, const uint64_t args[6])
{
    (void)number, (void)args;
    return claimed;
}

static long claim_length(uint32_t number, const uint64_t args[6])
{
    (void)number;
    *(uint32_t *)args[2] = claimed;
    return 9;
}

static void lengths_of_addresses_have_a_limit(void)
{
    struct syscall call = {.compartment = &fake_compartment, .number = __NR_accept4};
    uint32_t *length = fake_program_buffer(sizeof(*length));

    fake_host = claim_length;
    call.args[1] = (uint64_t)fake_program_buffer(10);
    call.args[2] = (uint64_t)length;
    *length = 10;
    claimed = 128;
    EXPECT(passthrough(&call, &table[__NR_accept4].signature) == 9 && *length == 128);
    *length = 10;
    claimed = 129;
    EXPECT(passthrough(&call, &table[__NR_accept4].signature) == -EIO && *length == 10);
    *length = INT_MAX + 1U;
    EXPECT(passthrough(&call, &table[__NR_accept4].signature) == -EINVAL);
}

static void asking_for_nothing_tells_the_size(void)
{
    struct syscall call = {.compartment = &fake_compartment, .number = __NR_getgroups};

    fake_host = claim;
    claimed = 1000;
    EXPECT(passthrough(&call, &table[__NR_getgroups].signature) == 1000);
}

static void counts_beyond_the_exchange_buffer_are_cut(void)
{
    uint64_t size = 2 * HOST_BUFFER_SIZE;
    struct syscall call = {.compartment = &fake_compartment, .number = __NR_getcwd};

    call.args[0] = (uint64_t)fake_program_buffer(size);
    call.args[1] = size;
    fake_host = claim;
    claimed = size;
    EXPECT(passthrough(&call, &table[__NR_getcwd].signature) == -EIO);
    claimed = HOST_BUFFER_SIZE;
    EXPECT(passthrough(&call, &table[__NR_getcwd].signature) == HOST_BUFFER_SIZE);
    call.number = __NR_bind;
    call.args[0] = 3;
    call.args[1] = (uint64_t)fake_program_buffer(16);
    call.args[2] = HOST_BUFFER_SIZE + 1;
    EXPECT(passthrough(&call, &table[__NR_bind].signature) == -E2BIG);
}

const struct fake_case table_cases[] = {
    {"every_row_withstands_random_answers", every_row_withstands_random_answers},
    {"every_handler_withstands_random_answers", every_handler_withstands_random_answers},
    {"lengths_of_addresses_have_a_limit", lengths_of_addresses_have_a_limit},
    {"asking_for_nothing_tells_the_size", asking_for_nothing_tells_the_size},
    {"counts_beyond_the_exchange_buffer_are_cut", counts_beyond_the_exchange_buffer_are_cut},
    {0, 0},
};
