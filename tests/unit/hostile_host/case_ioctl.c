/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/ioctls.h>
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/if.h>
#include <linux/sockios.h>

#include "cases.h"
#include "fake.h"

#define N(pointer) ((uint64_t)(pointer))

static long told;

static long list_interfaces(uint32_t number, const uint64_t args[6])
{
    (void)number;
    ((struct ifconf *)args[2])->ifc_len = told;
    return 0;
}

static void more_interfaces_than_asked(void)
{
    const int lies[] = {41, INT_MAX, -1};
    struct ifconf list = {.ifc_len = 40};

    list.ifc_buf = fake_program_buffer(40);
    fake_host = list_interfaces;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        told = lies[i];
        EXPECT(CALL(ioctl, 3, SIOCGIFCONF, N(&list)) == -EIO);
        EXPECT(list.ifc_len == 40 && fake_untouched(list.ifc_buf, 40));
    }
    told = 40;
    EXPECT(CALL(ioctl, 3, SIOCGIFCONF, N(&list)) == 0);
}

static long claim(uint32_t number, const uint64_t args[6])
{
    (void)number, (void)args;
    return told;
}

static void unknown_requests_do_not_reach_the_host(void)
{
    fake_host = claim;
    told = 1; /* F_GETFD: the descriptor is there */
    EXPECT(CALL(ioctl, 3, 0x12345678, 8) == -ENOTTY);
    told = -EBADF;
    EXPECT(CALL(ioctl, 3, 0x12345678, 8) == -EBADF);
    told = FAKE_HIDDEN_FIRST;
    EXPECT(CALL(ioctl, 3, TIOCGPTPEER, 0) == -EIO);
}

const struct fake_case ioctl_cases[] = {
    {"more_interfaces_than_asked", more_interfaces_than_asked},
    {"unknown_requests_do_not_reach_the_host", unknown_requests_do_not_reach_the_host},
    {0, 0},
};
