/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes, eventfd, poll, select and epoll between threads; SIGPIPE; non-blocking ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int failed;
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno);                                           \
            failed = 1;                                                                                                \
        }                                                                                                              \
    } while (0)

static int stream[2];

static void *produce(void *unused)
{
    char block[10000];
    for (int i = 0; i < 200; i++) {
        memset(block, i, sizeof(block));
        size_t done = 0;
        while (done < sizeof(block)) {
            ssize_t part = write(stream[1], block + done, sizeof(block) - done);
            if (part < 0)
                return NULL;
            done += (size_t)part;
        }
    }
    close(stream[1]);
    return unused;
}

static void through_a_pipe(void)
{
    pthread_t thread;
    EXPECT(pipe(stream) == 0);
    pthread_create(&thread, NULL, produce, NULL);
    unsigned long sum = 0, bytes = 0;
    unsigned char block[7777];
    for (ssize_t part; (part = read(stream[0], block, sizeof(block))) > 0;) {
        for (ssize_t i = 0; i < part; i++)
            sum += block[i];
        bytes += (unsigned long)part;
    }
    pthread_join(thread, NULL);
    printf("bytes %lu sum %lu\n", bytes, sum);
    close(stream[0]);
}

static void non_blocking(void)
{
    int ends[2];
    char byte;
    EXPECT(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    EXPECT(read(ends[0], &byte, 1) == -1 && errno == EAGAIN);
    struct pollfd waiting = {.fd = ends[0], .events = POLLIN};
    EXPECT(poll(&waiting, 1, 20) == 0);
    EXPECT(write(ends[1], "a", 1) == 1);
    EXPECT(poll(&waiting, 1, 1000) == 1 && waiting.revents == POLLIN);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    struct timeval second = {.tv_sec = 1};
    EXPECT(select(ends[0] + 1, &set, NULL, NULL, &second) == 1 && FD_ISSET(ends[0], &set));
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    EXPECT(write(ends[1], "a", 1) == -1 && errno == EPIPE);
    close(ends[1]);
}

static void with_epoll(void)
{
    int poller = epoll_create1(EPOLL_CLOEXEC), counter = eventfd(0, EFD_NONBLOCK);
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x1122334455667788};
    EXPECT(epoll_ctl(poller, EPOLL_CTL_ADD, counter, &event) == 0);
    event.data.u64 = 42;
    EXPECT(epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event) == 0);
    struct epoll_event got[4];
    EXPECT(epoll_wait(poller, got, 4, 10) == 0);
    uint64_t value = 5;
    EXPECT(write(counter, &value, 8) == 8);
    EXPECT(epoll_wait(poller, got, 4, 1000) == 1 && got[0].data.u64 == 0x1122334455667788);
    EXPECT(read(counter, &value, 8) == 8 && value == 5);
    struct itimerspec soon = {.it_value.tv_nsec = 20000000};
    EXPECT(timerfd_settime(timer, 0, &soon, NULL) == 0);
    EXPECT(epoll_wait(poller, got, 4, 5000) == 1 && got[0].data.u64 == 42);
    EXPECT(read(timer, &value, 8) == 8 && value == 1);
    EXPECT(epoll_ctl(poller, EPOLL_CTL_DEL, counter, NULL) == 0);
    close(timer);
    close(counter);
    close(poller);
}

int main(void)
{
    through_a_pipe();
    non_blocking();
    with_epoll();
    printf(failed ? "pipes: failed\n" : "pipes: good\n");
    return failed;
}
