/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/poll.h>
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/time_types.h>
#include <string.h>

#include "cases.h"
#include "fake.h"

#define N(pointer) ((uint64_t)(pointer))

static long told;

static long flood(uint32_t number, const uint64_t args[6])
{
    (void)number, (void)args;
    memset(host_buffer(), 0xff, HOST_BUFFER_SIZE);
    return told;
}

static void more_events_than_asked(void)
{
    struct epoll_event *events = fake_program_buffer(4 * sizeof(*events));
    const long lies[] = {5, INT_MAX, 1L << 40};

    fake_host = flood;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        told = lies[i];
        EXPECT(CALL(epoll_wait, 3, N(events), 4, 0) == -EIO);
        EXPECT(CALL(epoll_pwait2, 3, N(events), 4, 0, 0, 8) == -EIO);
    }
    EXPECT(fake_untouched(events, 4 * sizeof(*events)));
    told = 4;
    EXPECT(CALL(epoll_wait, 3, N(events), 4, 0) == 4);
    EXPECT(CALL(epoll_wait, 3, N(events), INT_MAX, 0) == -EINVAL);
    EXPECT(CALL(epoll_wait, 3, N(events), -1, 0) == -EINVAL);
}

static void only_events_of_poll_change(void)
{
    struct pollfd *entries = fake_program_buffer(3 * sizeof(*entries));

    for (int i = 0; i < 3; i++)
        entries[i] = (struct pollfd){.fd = i, .events = POLLIN};
    fake_host = flood;
    told = 4;
    EXPECT(CALL(poll, N(entries), 3, 0) == -EIO);
    told = 3;
    EXPECT(CALL(poll, N(entries), 3, 0) == 3);
    for (int i = 0; i < 3; i++)
        EXPECT(entries[i].fd == i && entries[i].events == POLLIN && entries[i].revents == -1);
    EXPECT(CALL(poll, N(entries), UINT_MAX, 0) == -EINVAL);
}

static void only_descriptors_that_were_asked_about_are_ready(void)
{
    uint64_t *set = fake_program_buffer(2 * sizeof(*set));

    set[0] = 5;
    set[1] = 0;
    fake_host = flood;
    told = 3;
    EXPECT(CALL(select, 70, N(set), 0, 0, 0) == 3);
    EXPECT(set[0] == 5 && set[1] == 0);
    told = 3 * 70 + 1;
    EXPECT(CALL(select, 70, N(set), 0, 0, 0) == -EIO);
    EXPECT(CALL(select, INT_MAX, N(set), 0, 0, 0) == -EINVAL);
    EXPECT(CALL(select, -1, N(set), 0, 0, 0) == -EINVAL);
}

static void no_more_time_is_left_than_was_asked_for(void)
{
    struct __kernel_timespec asked = {.tv_sec = 2, .tv_nsec = 5}, left = {0};
    struct __kernel_old_timeval timeout = {.tv_sec = 1, .tv_usec = 2};

    fake_host = flood;
    told = -EINTR;
    EXPECT(CALL(nanosleep, N(&asked), N(&left)) == -ERESTARTNOHAND);
    EXPECT(left.tv_sec == 2 && left.tv_nsec == 5);
    told = 0;
    EXPECT(CALL(select, 0, 0, 0, 0, N(&timeout)) == 0);
    EXPECT(timeout.tv_sec == 1 && timeout.tv_usec == 2);
    EXPECT(CALL(ppoll, 0, 0, N(&asked), 0, 0) == 0);
    EXPECT(asked.tv_sec == 2 && asked.tv_nsec == 5);
}

const struct fake_case wait_cases[] = {
    {"more_events_than_asked", more_events_than_asked},
    {"only_events_of_poll_change", only_events_of_poll_change},
    {"only_descriptors_that_were_asked_about_are_ready", only_descriptors_that_were_asked_about_are_ready},
    {"no_more_time_is_left_than_was_asked_for", no_more_time_is_left_than_was_asked_for},
    {0, 0},
};
