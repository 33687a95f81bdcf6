/* SPDX-License-Identifier: Apache-2.0 */
/* The host's clocks, read without leaving the enclave each time. */
#ifndef TEEMATE_CLOCK_H
#define TEEMATE_CLOCK_H
#include <stdint.h>

#include "spinlock.h"

/* CLOCK_REALTIME and CLOCK_MONOTONIC */
#define CLOCKS_KEPT 2

/*
 * At `tsc` the clock showed `time` nanoseconds. Readers compute on from there for at most `span` ticks. The four are
 * consistent if `sequence` was the same, and even, before and after they were read; they change under the lock.
 */
struct clock {
    struct spinlock lock;
    uint32_t sequence;
    uint64_t tsc, time;
    uint64_t rate; /* nanoseconds in a tick, with 32 bits behind the point; 0: not known yet */
    uint64_t span;
    /* under the lock: where the rate is measured from, and the latest time that anyone was told */
    uint64_t anchor_tsc, anchor_time;
    uint64_t told;
};

/* clock_tsc.S: may the time-stamp counter be read here? */
int clock_try_tsc(void);
extern const char clock_no_tsc[];

/* As host_clock(). */
struct compartment;
long clock_read(struct compartment *compartment, uint32_t clock, int64_t *sec, int64_t *nsec);
#endif
