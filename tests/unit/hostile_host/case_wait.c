/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/poll.h>
#include <asm/sembuf.h>
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/ipc.h>
#include <linux/sem.h>
#include <linux/time_types.h>
#include <string.h>

#include "cases.h"
#include "epoll_table.h"
#include "fake.h"

#define N(pointer) ((uint64_t)(pointer))

static long told;

static long flood(uint32_t number, const uint64_t args[6])
{
    (void)number, (void)args;
    memset(host_buffer(), 0xff, HOST_BUFFER_SIZE);
    return told;
}

/* A host with an epoll descriptor: it notes cookies, and reports what it is told to. */
static uint64_t cookies[8];
static unsigned cookie_count;
static long control_answer;
static struct epoll_event reported[8];

static long epoll_host(uint32_t number, const uint64_t args[6])
{
    switch (number) {
    case __NR_epoll_create1:
        return 3;
    case __NR_epoll_ctl:
        if (args[1] != EPOLL_CTL_DEL)
            cookies[cookie_count++ % 8] = ((struct epoll_event *)args[3])->data;
        return control_answer;
    default:
        memcpy((void *)args[1], reported, sizeof(reported));
        return told;
    }
}

static long change(int operation, int descriptor, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN, .data = data};

    return CALL(epoll_ctl, 3, operation, descriptor, N(&event));
}

static void report(unsigned index, uint64_t cookie)
{
    reported[index] = (struct epoll_event){.events = EPOLLIN, .data = cookie};
    told = index + 1;
}

static struct epoll_event *waited;

static long wait_for(int count)
{
    waited = fake_program_buffer(count * sizeof(*waited));
    return CALL(epoll_wait, 3, N(waited), count, 0);
}

static void more_events_than_asked(void)
{
    const long lies[] = {5, INT_MAX, 1L << 40};

    fake_host = flood;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        told = lies[i];
        EXPECT(wait_for(4) == -EIO);
        EXPECT(CALL(epoll_pwait2, 3, N(waited), 4, 0, 0, 8) == -EIO);
        EXPECT(fake_untouched(waited, 4 * sizeof(*waited)));
    }
    EXPECT(CALL(epoll_wait, 3, 0, INT_MAX, 0) == -EINVAL);
    EXPECT(CALL(epoll_wait, 3, 0, -1, 0) == -EINVAL);
}

static void the_host_does_not_choose_user_data(void)
{
    fake_host = epoll_host;
    EXPECT(CALL(epoll_create1, 0) == 3);
    EXPECT(change(EPOLL_CTL_ADD, 5, 0x1111) == 0 && change(EPOLL_CTL_ADD, 6, 0x2222) == 0);
    EXPECT(cookies[0] != 0x1111 && cookies[0] != cookies[1]);
    report(0, 0x1111);
    report(1, cookies[1]);
    report(2, 0);
    report(3, ~0UL);
    report(4, cookies[0] + (2UL << 32));
    report(5, 3 | 1UL << 32);
    report(6, cookies[0]);
    EXPECT(wait_for(8) == 2);
    EXPECT(waited[0].data == 0x2222 && waited[1].data == 0x1111);
    EXPECT(fake_untouched(waited + 2, 6 * sizeof(*waited)));
}

static void registrations_come_and_go(void)
{
    fake_host = epoll_host;
    EXPECT(change(EPOLL_CTL_ADD, 5, 1) == 0);
    EXPECT(change(EPOLL_CTL_MOD, 5, 2) == 0 && cookies[1] == cookies[0]);
    report(0, cookies[0]);
    EXPECT(wait_for(1) == 1 && waited[0].data == 2);
    control_answer = -EEXIST;
    EXPECT(change(EPOLL_CTL_ADD, 5, 3) == -EEXIST && wait_for(1) == 1 && waited[0].data == 2);
    EXPECT(change(EPOLL_CTL_MOD, 5, 3) == -EEXIST && wait_for(1) == 1 && waited[0].data == 2);
    control_answer = 7;
    EXPECT(change(EPOLL_CTL_MOD, 5, 3) == -EIO);
    control_answer = 0;
    EXPECT(change(EPOLL_CTL_ADD, 5, 4) == 0); /* closed, and the number is used again */
    report(0, cookies[0]);
    report(1, cookies[(cookie_count - 1) % 8]);
    EXPECT(wait_for(2) == 1 && waited[0].data == 4);
    EXPECT(change(EPOLL_CTL_DEL, 5, 0) == 0);
    EXPECT(change(EPOLL_CTL_ADD, 6, 6) == 0);
    report(2, cookies[(cookie_count - 1) % 8]);
    EXPECT(wait_for(3) == 1 && waited[0].data == 6);
    EXPECT(CALL(epoll_create1, 0) == 3);
    EXPECT(change(EPOLL_CTL_ADD, 7, 7) == 0);
    report(3, cookies[(cookie_count - 1) % 8]);
    EXPECT(wait_for(4) == 1 && waited[0].data == 7);
}

static void duplicates_see_what_the_first_registered(void)
{
    fake_host = epoll_host;
    EXPECT(change(EPOLL_CTL_ADD, 5, 1) == 0);
    report(0, cookies[0]);
    waited = fake_program_buffer(sizeof(*waited));
    EXPECT(CALL(epoll_wait, 4, N(waited), 1, 0) == 1 && waited[0].data == 1);
}

static void registrations_have_a_limit(void)
{
    fake_host = epoll_host;
    for (int i = 0; i < EPOLL_REGISTRATIONS_MAX; i++)
        EXPECT(change(EPOLL_CTL_ADD, i + FAKE_HIDDEN_LAST + 1, i) == 0);
    EXPECT(change(EPOLL_CTL_ADD, 1, 1) == -ENOSPC);
    EXPECT(change(EPOLL_CTL_DEL, FAKE_HIDDEN_LAST + 1, 0) == 0);
    EXPECT(change(EPOLL_CTL_ADD, 1, 1) == 0);
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

/* A set of semaphores that is larger than any, or that grows between the host's two answers */
static long semaphore_host(uint32_t number, const uint64_t args[6])
{
    (void)number;
    if (args[2] == IPC_STAT)
        ((struct semid64_ds *)args[3])->sem_nsems = told;
    else
        memset((void *)args[3], 0xff, HOST_BUFFER_SIZE);
    return 0;
}

static void semaphores_and_messages_have_limits(void)
{
    char *values = fake_program_buffer(6), *message = fake_program_buffer(sizeof(long) + 10);

    fake_host = semaphore_host;
    told = 3;
    EXPECT(CALL(semctl, 1, 0, GETALL, N(values)) == 0);
    told = 1L << 40;
    EXPECT(CALL(semctl, 1, 0, GETALL, N(values)) == -EIO);
    EXPECT(CALL(semctl, 1, 0, SETALL, N(values)) == -EIO);
    fake_host = flood;
    told = 11;
    EXPECT(CALL(msgrcv, 1, N(message), 10, 0, 0) == -EIO);
    EXPECT(fake_untouched(message, sizeof(long) + 10));
    told = 10;
    EXPECT(CALL(msgrcv, 1, N(message), 10, 0, 0) == 10);
    told = 1;
    EXPECT(CALL(msgsnd, 1, N(message), 10, 0) == -EIO);
}

const struct fake_case wait_cases[] = {
    {"more_events_than_asked", more_events_than_asked},
    {"the_host_does_not_choose_user_data", the_host_does_not_choose_user_data},
    {"registrations_come_and_go", registrations_come_and_go},
    {"duplicates_see_what_the_first_registered", duplicates_see_what_the_first_registered},
    {"registrations_have_a_limit", registrations_have_a_limit},
    {"semaphores_and_messages_have_limits", semaphores_and_messages_have_limits},
    {"only_events_of_poll_change", only_events_of_poll_change},
    {"only_descriptors_that_were_asked_about_are_ready", only_descriptors_that_were_asked_about_are_ready},
    {"no_more_time_is_left_than_was_asked_for", no_more_time_is_left_than_was_asked_for},
    {0, 0},
};
