/* SPDX-License-Identifier: Apache-2.0 */
/* Compartments prepared and scrubbed, and entries while that is under way. */
#define _GNU_SOURCE
#include "hostile_host.h"

#include <errno.h>
#include <string.h>

void case_scrub(void)
{
    start_until_log();
    memset((void *)(THREAD_BLOCK(BASE, 0) + THREAD_SSA), 0x5a, SSA_FRAME_SIZE);
    exchange.op = 0;
    for (enter(0, 0, ECALL_SCRUB); exchange.op == OCALL_TRIM; enter(0, 0, ECALL_OCALL_RETURN)) {
        check_left_with(OCALL_TRIM);
        memset((void *)(BASE + exchange.u.trim.offset), 0, 4096);
        exchange.u.trim.result = 0;
    }
    check_left_with(OCALL_SCRUBBED);
    CHECK(is_zero((void *)BASE, HEADER_SIZE));
    CHECK(is_zero((void *)(THREAD_BLOCK(BASE, 0) + THREAD_SSA), THREAD_STACK_TOP - THREAD_SSA));
    check_refused(0, ECALL_OCALL_RETURN);
    start_until_log(); /* as fresh */
}

static void check_prepared(void)
{
    enter(0, 0, ECALL_PREPARE);
    check_left_with(OCALL_PREPARED);
    for (int i = 0; i < PREPARED_RANGES; i++) {
        const struct prepared_range *range = &exchange.u.prepared.ranges[i];
        CHECK(range->size && !((range->offset | range->size) % 4096));
        CHECK(range->offset >= VMAS_OFFSET && range->size <= APP_END - range->offset);
        CHECK(i >= PREPARED_PROGRAM_RANGES || range->offset >= APP_OFFSET);
    }
    CHECK(exchange.u.prepared.ranges[0].size == entry_argument);
}

void case_prepare(void)
{
    static const uint64_t impossible[] = {0, 1, APP_CODE_END, UINT64_MAX, 0xfffffffffffff000};
    for (unsigned i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
        entry_argument = impossible[i];
        check_refused(0, ECALL_PREPARE);
    }
    entry_argument = 0x100000;
    check_refused(1, ECALL_PREPARE); /* not the first thread */
    check_prepared();
    struct ocall_prepared before = exchange.u.prepared;
    check_prepared(); /* asked twice, the host learns nothing new */
    CHECK(!memcmp(&before, &exchange.u.prepared, sizeof(before)));
    check_refused(0, ECALL_OCALL_RETURN);
    start_until_log(); /* as fresh */
    check_refused(0, ECALL_PREPARE); /* it runs */

    unsigned given_back = 0;
    for (enter(0, 0, ECALL_SCRUB); exchange.op == OCALL_TRIM; enter(0, 0, ECALL_OCALL_RETURN)) {
        for (int i = 0; i < PREPARED_PROGRAM_RANGES; i++)
            given_back += before.ranges[i].offset == exchange.u.trim.offset;
        exchange.u.trim.result = 0;
    }
    check_left_with(OCALL_SCRUBBED);
    CHECK(given_back == PREPARED_PROGRAM_RANGES);
    CHECK(is_zero((void *)BASE, HEADER_SIZE));
    check_prepared();
    CHECK(memcmp(&before, &exchange.u.prepared, sizeof(before))); /* drawn anew */
}

static void fill(uint64_t offset, uint64_t size)
{
    memset((void *)(BASE + offset), 0x5a, size);
}

static void set_dirty(uint64_t offset)
{
    ((uint8_t *)(BASE + DIRTY_MAP_OFFSET))[offset / 4096 / 8] |= 1U << offset / 4096 % 8;
}

/* The tenant's last pages are erased in place when the host does not take them back. */
void case_scrub_refused(void)
{
    static const uint64_t page = APP_OFFSET + 77 * 4096;
    unsigned refused = 0;
    start_until_log();
    fill(VMAS_OFFSET, VMAS_SIZE);
    fill(LIBOS_HEAP_OFFSET, LIBOS_HEAP_SIZE);
    fill(TRAMPOLINES_OFFSET, TRAMPOLINES_SIZE);
    fill(page, 4096);
    set_dirty(page);
    exchange.op = 0;
    for (enter(0, 0, ECALL_SCRUB); exchange.op == OCALL_TRIM || exchange.op == OCALL_PROTECT;
         enter(0, 0, ECALL_OCALL_RETURN)) {
        check_left_with(exchange.op);
        if (exchange.op == OCALL_PROTECT) {
            exchange.u.protect.result = 0;
            continue;
        }
        exchange.u.trim.result = -EOPNOTSUPP;
        refused++;
    }
    check_left_with(OCALL_SCRUBBED);
    CHECK(refused == 2);
    CHECK(is_zero((void *)BASE, HEADER_SIZE));
    CHECK(is_zero((void *)(BASE + VMAS_OFFSET), APP_OFFSET - VMAS_OFFSET));
    CHECK(is_zero((void *)(BASE + page), 4096));
    start_until_log(); /* as fresh */
}

/* A host that neither takes pages back nor lets them be erased gets no compartment back. */
void case_scrub_impossible(void)
{
    start_until_log();
    for (enter(0, 0, ECALL_SCRUB); exchange.op == OCALL_TRIM || exchange.op == OCALL_PROTECT;
         enter(0, 0, ECALL_OCALL_RETURN)) {
        exchange.u.trim.result = -EOPNOTSUPP;
        if (exchange.op == OCALL_PROTECT)
            exchange.u.protect.result = -EACCES;
    }
    check_left_with(OCALL_REFUSED);
}

void case_scrub_while_inside(void)
{
    start_until_log();
    struct thread *other = (struct thread *)(THREAD_BLOCK(BASE, 1) + THREAD_TCB);
    compartment_at(BASE)->slots_used = 2;
    other->state = THREAD_RUNNING; /* and not outside: interrupted, for instance */
    check_refused(0, ECALL_SCRUB);
    check_refused(0, ECALL_START);
}

static struct thread *thread_in(unsigned slot)
{
    return (struct thread *)(THREAD_BLOCK(BASE, slot) + THREAD_TCB);
}

/* A thread that clone prepared is entered once, and not at all when the compartment's end has begun. */
void case_start_thread(void)
{
    start_until_log();
    compartment_at(BASE)->slots_used = 3;
    for (unsigned slot = 1; slot < 3; slot++)
        thread_in(slot)->state = THREAD_STARTING;
    enter(1, 0, ECALL_START_THREAD);
    check_left_with(OCALL_SYSCALL); /* it waits for its id */
    CHECK(thread_in(1)->state == THREAD_RUNNING);
    check_refused(1, ECALL_START_THREAD);

    compartment_at(BASE)->state = COMPARTMENT_SCRUBBING;
    check_refused(2, ECALL_START_THREAD);
    CHECK(thread_in(2)->state == THREAD_FREE);
}

void case_start_thread_after_scrub(void)
{
    start_until_log();
    compartment_at(BASE)->slots_used = 2;
    thread_in(1)->state = THREAD_STARTING;
    enter(0, 0, ECALL_SCRUB);
    CHECK(thread_in(1)->state == THREAD_FREE);
    check_refused(1, ECALL_START_THREAD);
}
