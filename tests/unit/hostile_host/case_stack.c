/* SPDX-License-Identifier: Apache-2.0 */
/* What was on the LibOS's stack before must not reach the host in structs that the program filled in part only. */
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/prctl.h>
#include <string.h>

#include "cases.h"
#include "fake.h"

#define STACK_SECRET 0x5e
#define TASK_NAME_SIZE 16
#define TIMEOUT_OFFSET 8
#define TIMEOUT_SIZE 16

/* Leave secrets where the next function's variables will be. */
__attribute__((noinline)) static void use_stack(void)
{
    volatile char secrets[8192];

    for (unsigned i = 0; i < sizeof(secrets); i++)
        secrets[i] = STACK_SECRET;
}

static int has_secret(const char *bytes, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        if (bytes[i] == STACK_SECRET)
            return 1;
    return 0;
}

static long take_name(uint32_t number, const uint64_t args[6])
{
    EXPECT(number == __NR_prctl);
    EXPECT(!strcmp((char *)args[1], "sh") && !has_secret((char *)args[1], TASK_NAME_SIZE));
    return 0;
}

static void short_names_are_padded(void)
{
    fake_host = take_name;
    for (int round = 0; round < 2; round++) { /* the first call sets up what the others find */
        use_stack();
        EXPECT(CALL(prctl, PR_SET_NAME, (uint64_t) "sh") == 0);
    }
}

static long take_timeout(uint32_t number, const uint64_t args[6])
{
    EXPECT(number == __NR_rt_sigtimedwait && !args[2]);
    EXPECT(!has_secret((char *)args[0] + TIMEOUT_OFFSET, TIMEOUT_SIZE));
    return -EAGAIN;
}

static void waits_without_a_timeout_send_none(void)
{
    uint64_t set = 1;

    fake_host = take_timeout;
    for (int round = 0; round < 2; round++) {
        use_stack();
        EXPECT(CALL(rt_sigtimedwait, (uint64_t)&set, 0, 0, sizeof(set)) == -EAGAIN);
    }
}

const struct fake_case stack_cases[] = {
    {"short_names_are_padded", short_names_are_padded},
    {"waits_without_a_timeout_send_none", waits_without_a_timeout_send_none},
    {0, 0},
};
