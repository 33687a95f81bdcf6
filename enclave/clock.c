/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time is the host's word. But between two of its answers, a millisecond at most, the time-stamp counter of the
 * processor says how much has passed: that saves most of the OCALLs. Only where the host says that its own clock runs
 * by the counter (START_TSC_CLOCK): then all processors agree on it.
 *
 * No thread ever sees the time go back, unless the host's clock was set back. The rate is taken a little too slow,
 * so that the host's next answer is never less than what was computed, for long; and an answer that is, is not told.
 */
#include "clock.h"

#include "compartment.h"
#include "host.h"

#define NANOSECONDS 1000000000UL
#define SECONDS_MAX 0x100000000 /* so that nanoseconds fit in 64 bits, with room */
#define REFRESH_INTERVAL 1000000UL /* nanoseconds */
#define ANCHOR_AGE_MAX 4000000000UL /* nanoseconds: fits in 32 bits */
#define RATE_BITS 32
#define RATE_LOSS 15 /* the rate is reduced by 1 / 2^15, 30 ppm */
#define RATE_MIN (1UL << (RATE_BITS - 4)) /* 16 GHz */
#define RATE_MAX (1UL << (RATE_BITS + 3)) /* 125 MHz */
#define SAMPLE_TICKS_MAX 4000 /* an answer that took longer was interrupted: nobody knows how old it is */
#define STEP_MIN 1000000UL /* nanoseconds: so much less than expected, and the clock was set back */

/* Neither earlier nor later than where it stands in the program. */
static uint64_t read_tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static uint64_t elapsed(uint64_t ticks, uint64_t rate)
{
    return ticks * rate >> RATE_BITS;
}

/* Returns 0 if the host has to be asked. */
static int compute(const struct clock *clock, uint64_t *time)
{
    uint32_t sequence = __atomic_load_n(&clock->sequence, __ATOMIC_ACQUIRE);
    uint64_t tsc = __atomic_load_n(&clock->tsc, __ATOMIC_RELAXED),
             start = __atomic_load_n(&clock->time, __ATOMIC_RELAXED);
    uint64_t rate = __atomic_load_n(&clock->rate, __ATOMIC_RELAXED),
             span = __atomic_load_n(&clock->span, __ATOMIC_RELAXED);
    uint64_t ticks = read_tsc() - tsc;
    if (sequence & 1 || __atomic_load_n(&clock->sequence, __ATOMIC_ACQUIRE) != sequence || ticks >= span)
        return 0;
    *time = start + elapsed(ticks, rate);
    return 1;
}

/* What any reader may have been told by now. */
static uint64_t latest_told(const struct clock *clock, uint64_t tsc)
{
    uint64_t ticks = tsc - clock->tsc;
    uint64_t computed = clock->time + elapsed(ticks < clock->span ? ticks : clock->span, clock->rate);
    return computed > clock->told ? computed : clock->told;
}

static void measure_rate(struct clock *clock, uint64_t tsc, uint64_t time)
{
    uint64_t ticks = tsc - clock->anchor_tsc, passed = time - clock->anchor_time;
    if (!clock->anchor_time || time < clock->anchor_time || passed > ANCHOR_AGE_MAX) {
        clock->anchor_tsc = tsc;
        clock->anchor_time = time;
        return;
    }
    if (passed < REFRESH_INTERVAL || !ticks)
        return;
    uint64_t rate = (passed << RATE_BITS) / ticks;
    rate -= rate >> RATE_LOSS;
    if (rate > RATE_MIN && rate < RATE_MAX)
        clock->rate = rate;
}

static void publish(struct clock *clock, uint64_t tsc, uint64_t time)
{
    __atomic_store_n(&clock->tsc, tsc, __ATOMIC_RELAXED);
    __atomic_store_n(&clock->time, time, __ATOMIC_RELAXED);
    __atomic_store_n(&clock->span, clock->rate ? (REFRESH_INTERVAL << RATE_BITS) / clock->rate : 0, __ATOMIC_RELAXED);
}

/* Take over the host's answer, which is from between the two readings of the counter. Returns the time to tell. */
static uint64_t update(struct clock *clock, uint64_t before, uint64_t after, uint64_t time)
{
    spin_lock(&clock->lock);
    spin_begin_change(&clock->lock);
    /* Who reads from here on, reads again; who did before, was told what latest_told() covers. */
    __atomic_fetch_add(&clock->sequence, 1, __ATOMIC_SEQ_CST);
    uint64_t now = read_tsc(), told = latest_told(clock, now);
    if (now - before <= SAMPLE_TICKS_MAX) {
        int set_back = time + STEP_MIN < told;
        if (set_back)
            clock->anchor_time = 0;
        measure_rate(clock, after, time);
        time += elapsed(now - after, clock->rate);
        if (!set_back && time < told)
            time = told;
        publish(clock, now, time);
    } else if (time <= told) {
        time = told;
    } else {
        /* Ahead of what would be computed, but by how much it is behind the host's clock now is not known */
        __atomic_store_n(&clock->span, 0, __ATOMIC_RELAXED);
    }
    clock->told = time;
    __atomic_fetch_add(&clock->sequence, 1, __ATOMIC_RELEASE);
    spin_end_change(&clock->lock);
    spin_unlock(&clock->lock);
    return time;
}

long clock_read(struct compartment *compartment, uint32_t number, int64_t *sec, int64_t *nsec)
{
    if (number >= CLOCKS_KEPT || !(compartment->flags & START_TSC_CLOCK))
        return host_clock(number, sec, nsec);
    struct clock *clock = &compartment->clocks[number];
    uint64_t time;
    if (!compute(clock, &time)) {
        uint64_t before = read_tsc();
        long result = host_clock(number, sec, nsec);
        uint64_t after = read_tsc();
        if (result || *sec >= SECONDS_MAX)
            return result;
        time = update(clock, before, after, (uint64_t)*sec * NANOSECONDS + (uint64_t)*nsec);
    }
    *sec = (int64_t)(time / NANOSECONDS);
    *nsec = (int64_t)(time % NANOSECONDS);
    return 0;
}
