/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mate janitor: enters, for the daemon, compartments whose process has died, and free ones that it prepares.
 *
 * Each compartment is entered by a forked worker: the enclave's addresses are fixed, and what a dead tenant left behind
 * is not to be trusted (in the software model it may even be code that runs here), so the worker is confined to the few
 * system calls it needs and the janitor only believes its exit status.
 */
#include "janitor.h"

#include <asm/signal.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/sched.h>

#include "attach.h"
#include "log.h"
#include "mate.h"
#include "message.h"
#include "recover.h"
#include "signal.h"
#include "string.h"
#include "syscall.h"
#include "vdso.h"

#define CHANNEL 3
#define WORKER_TIME_LIMIT_S 20
#define EXIT_SIGNAL_MASK 0x7f

/* What the worker has to say: pages erased, or bytes backed. Shared with it. */
static volatile uint64_t *answer;

static long scrub(struct host_thread *thread)
{
    long result = recover_compartment(thread);

    if (result < 0)
        die("compartment %u cannot be scrubbed: error %d", mate.lease.grant.compartment_index, (int)-result);
    return result;
}

static long prepare(struct host_thread *thread, const struct message *message)
{
    uint64_t code_size;
    long result;

    memcpy(&code_size, message->body, sizeof(code_size));
    result = prepare_compartment(thread, code_size);
    if (result < 0)
        die("compartment %u cannot be prepared: error %d", mate.lease.grant.compartment_index, (int)-result);
    return result;
}

static _Noreturn void work(const struct message *message)
{
    struct host_thread *thread;

    syscall2(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL);
    syscall1(__NR_alarm, WORKER_TIME_LIMIT_S);
    syscall1(__NR_close, CHANNEL);
    lease_read(&mate.lease, message->descriptors, message->descriptor_count, 0);
    lease_map(&mate.lease);
    sgx_platform_start(&mate.lease.grant, mate.auxiliary.vdso);
    thread = thread_create(0);
    if (!thread)
        die("no memory for the janitor's worker");
    thread_start(thread);
    janitor_confine();
    *answer = (uint64_t)(message->head.type == ATTACH_SCRUB ? scrub(thread) : prepare(thread, message));
    for (;;)
        syscall1(__NR_exit_group, 0);
}

static long wait_for(long worker, int *status)
{
    long result;

    do
        result = syscall4(__NR_wait4, worker, status, 0, NULL);
    while (result == -EINTR);
    return result;
}

static void have_done(const struct message *message)
{
    uint16_t type = message->head.type == ATTACH_SCRUB ? ATTACH_SCRUBBED : ATTACH_PREPARED;
    int status = 0;
    long worker = syscall5(__NR_clone, SIGCHLD, 0, NULL, NULL, 0);

    if (!worker)
        work(message);
    if (syscall_failed(worker))
        message_reply_error(CHANNEL, type, (int)worker, "the janitor cannot fork");
    else if (wait_for(worker, &status) == worker && !status)
        message_reply(CHANNEL, type, (const void *)answer, sizeof(*answer));
    else if (status & EXIT_SIGNAL_MASK)
        message_reply_error(CHANNEL, type, -EIO, "the janitor's worker was killed by a signal");
    else
        message_reply_error(CHANNEL, type, -EIO, "the janitor's worker failed: its message is in the log");
}

void janitor_run(void)
{
    long area = syscall6(__NR_mmap, 0, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (syscall_failed(area))
        die("no memory for the janitor: error %d", (int)-area);
    answer = (volatile uint64_t *)area;
    vdso_start(mate.auxiliary.vdso);
    for (;;) {
        struct message message;
        long result = message_receive(CHANNEL, &message);

        if (!result) /* the daemon has gone */
            syscall1(__NR_exit_group, 0);
        if (result < 0)
            die("the janitor's channel, descriptor %d, fails with error %d: start the janitor through teemate-hostd",
                CHANNEL, (int)-result);
        if (message.head.type == ATTACH_SCRUB ||
            (message.head.type == ATTACH_PREPARE && message.body_size == sizeof(uint64_t)))
            have_done(&message);
        else
            message_reply_error(CHANNEL, message.head.type, -EINVAL, "the janitor knows SCRUB and PREPARE only");
        message_close_descriptors(&message);
    }
}
