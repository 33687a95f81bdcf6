/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks go forward, sleeps last at least as long as asked, interval and POSIX timers fire. */
#define _GNU_SOURCE
#include <errno.h>
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
    struct timeval day;
    EXPECT(gettimeofday(&day, NULL) == 0 && day.tv_sec > 1600000000);
    EXPECT(time(NULL) >= day.tv_sec);
    struct timespec resolution;
    EXPECT(clock_getres(CLOCK_MONOTONIC, &resolution) == 0);
    EXPECT(clock_gettime(1000, &until) == -1 && errno == EINVAL);
    printf(failed ? "clocks: failed\n" : "clocks: good\n");
    return failed;
}
