/* SPDX-License-Identifier: Apache-2.0 */
#include "recover.h"

#include <linux/errno.h>

#include "enclave_loop.h"
#include "log.h"
#include "mate.h"
#include "ocall.h"

static void point_at_slot(struct host_thread *thread, uint32_t slot)
{
    thread->slot = slot;
    thread->exchange->slot = slot;
    thread->tcs = THREAD_BLOCK(mate.lease.grant.compartment_base, slot) + THREAD_TCS;
}

static long recover_slot(struct host_thread *thread, uint32_t slot)
{
    long state;

    point_at_slot(thread, slot);
    state = sgx_recover_tcs(thread->tcs);
    return state > 0 ? enclave_reset(thread) : state;
}

long recover_compartment(struct host_thread *thread)
{
    for (uint32_t slot = 0; slot < mate.lease.grant.thread_count; slot++) {
        long result = recover_slot(thread, slot);

        if (result) {
            log_error("thread slot %u of compartment %u cannot be recovered: error %d", slot,
                      mate.lease.grant.compartment_index, (int)-result);
            return result;
        }
    }
    point_at_slot(thread, 0);
    if (enclave_loop(thread, ECALL_SCRUB, 0) != OCALL_SCRUBBED)
        return -EIO;
    return (long)thread->exchange->u.scrubbed.page_count;
}

long prepare_compartment(struct host_thread *thread, uint64_t code_size)
{
    const struct prepared_range *ranges = thread->exchange->u.prepared.ranges;
    uint64_t size = 0;
    uint32_t left;

    point_at_slot(thread, 0);
    left = enclave_loop(thread, ECALL_PREPARE, code_size);
    if (left == OCALL_REFUSED)
        return 0;
    if (left != OCALL_PREPARED)
        return -EIO;
    for (unsigned i = 0; i < PREPARED_RANGES; i++) {
        struct prepared_range range = ranges[i];
        long result;

        /* The compartment may be leased meanwhile, to somebody who changes what the LibOS says */
        if (range.size > code_size + PREPARED_REST_MAX - size)
            return -EINVAL;
        result = memory_back(range.offset, range.size);
        if (result)
            return result;
        size += range.size;
    }
    return (long)size;
}

void recover_after_exec(struct host_thread *thread)
{
    long result = recover_compartment(thread);

    if (result < 0)
        die("execve: the LibOS could not erase the old program: error %d", (int)-result);
}
