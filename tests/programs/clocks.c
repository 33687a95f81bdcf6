/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks go forward, sleeps last at least as long as asked, interval and POSIX timers fire. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int failed;
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno);                                           \
            failed = 1;                                                                                                \
        }                                                                                                              \
    } while (0)

static long long now(clockid_t clock)
{
    struct timespec time = {0};
    EXPECT(clock_gettime(clock, &time) == 0);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* What a thread reads is never before what another has read already. */
#define READS 100000
static _Atomic long long latest;
static clockid_t shared_clock;

static void *read_often(void *unused)
{
    for (int i = 0; i < READS; i++) {
        long long before = latest, time = now(shared_clock);
        EXPECT(time >= before);
        while (before < time &&
               !__atomic_compare_exchange_n(&latest, &before, time, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
    }
    return unused;
}

static void read_in_threads(clockid_t clock)
{
    pthread_t threads[3];
    shared_clock = clock;
    latest = 0;
    for (int i = 0; i < 3; i++)
        EXPECT(pthread_create(&threads[i], NULL, read_often, NULL) == 0);
    for (int i = 0; i < 3; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
}

/* Two clocks that only differ by a constant, one of them perhaps computed in between. */
static void compare_clocks(void)
{
    long long least = 1LL << 62, most = -least;
    for (int i = 0; i < 20000; i++) {
        long long first = now(CLOCK_BOOTTIME), middle = now(CLOCK_MONOTONIC), last = now(CLOCK_BOOTTIME);
        if (last - middle < most || most < 0)
            most = last - middle;
        if (first - middle > least || least > 1LL << 61)
            least = first - middle;
    }
    /* `least` is below the offset and `most` above it, or else one of them was wrong by this much */
    EXPECT(least - most < 100000);
}

int main(void)
{
    static const clockid_t clocks[] = {CLOCK_REALTIME,      CLOCK_MONOTONIC,          CLOCK_BOOTTIME,
                                       CLOCK_MONOTONIC_RAW, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
        long long before = now(clocks[i]);
        EXPECT(before > 0 && now(clocks[i]) >= before);
    }
    long long before = now(CLOCK_MONOTONIC);
    EXPECT(nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL) == 0);
    EXPECT(now(CLOCK_MONOTONIC) - before >= 20000000);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    EXPECT(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
    EXPECT(now(CLOCK_MONOTONIC) >= until.tv_sec * 1000000000LL + until.tv_nsec);
    read_in_threads(CLOCK_MONOTONIC);
    read_in_threads(CLOCK_REALTIME);
    compare_clocks();
    /* time() may tell the time of the last tick, before what the others told already */
    struct timeval day;
    time_t second = time(NULL);
    EXPECT(gettimeofday(&day, NULL) == 0 && day.tv_sec > 1600000000);
    EXPECT(second <= day.tv_sec && time(NULL) >= day.tv_sec - 1);
    struct timespec resolution;
    EXPECT(clock_getres(CLOCK_MONOTONIC, &resolution) == 0);
    EXPECT(clock_gettime(1000, &until) == -1 && errno == EINVAL);
    printf(failed ? "clocks: failed\n" : "clocks: good\n");
    return failed;
}
