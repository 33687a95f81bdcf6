// SPDX-License-Identifier: Apache-2.0
/*
 * Runs the LibOS's clock with a host whose clock is the time-stamp counter, and with two readers in the order that
 * makes them differ: one is held up on its way to the host while another refreshes what is computed from, by an
 * answer that is late. What the first is told is ahead of that, and no later reading may be behind it.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "clock.h"
#include "compartment.h"
#include "host.h"
#include "require.h"
#include "thread.h"

#define ROUNDS 200
#define ATTEMPTS_MAX 100000
#define LATE 2000 /* ticks: an answer so old is still taken to compute on from */
#define HELD_UP 10000 /* ticks: one so old is not */
#define SECOND 1000000000

static struct compartment compartment = {.flags = START_TSC_CLOCK};
static const struct clock *const kept = &compartment.clocks[CLOCK_MONOTONIC];
static int with_another_reader, another_refreshed;

void spin_wait(const struct spinlock *lock)
{
    (void)lock;
    REQUIRE(!"a lock is waited for");
}

static void spend(uint64_t ticks)
{
    uint64_t start = __rdtsc();
    while (__rdtsc() - start < ticks)
        ;
}

static int64_t read_clock(void)
{
    int64_t sec, nsec;
    REQUIRE(!clock_read(&compartment, CLOCK_MONOTONIC, &sec, &nsec));
    return sec * SECOND + nsec;
}

/* Two ticks are a nanosecond. */
long host_clock(uint32_t clock, int64_t *sec, int64_t *nsec)
{
    REQUIRE(clock == CLOCK_MONOTONIC);
    int is_late = !with_another_reader;
    if (with_another_reader) {
        with_another_reader = 0;
        spend(HELD_UP);
        uint64_t refreshed = kept->tsc;
        read_clock();
        another_refreshed = kept->tsc != refreshed && kept->span;
    }
    int64_t time = (int64_t)(__rdtsc() / 2);
    *sec = time / SECOND;
    *nsec = time % SECOND;
    if (is_late)
        spend(LATE);
    return 0;
}

/* Returns 0 if this machine interrupted a reader, so that it was not as meant. */
static int race(void)
{
    spend(kept->span); /* what is computed from is too old now */
    with_another_reader = 1;
    another_refreshed = 0;
    int64_t told = read_clock();
    for (int i = 0; i < 10; i++) {
        int64_t later = read_clock();
        REQUIRE(later >= told);
        told = later;
    }
    return another_refreshed;
}

int main(void)
{
    static struct thread self = {.self = &self};
    REQUIRE(!syscall(SYS_arch_prctl, ARCH_SET_GS, &self));

    while (!kept->rate)
        read_clock();
    int rounds = 0;
    for (int i = 0; i < ATTEMPTS_MAX && rounds < ROUNDS; i++)
        rounds += race();
    REQUIRE(rounds == ROUNDS);
    return 0;
}
