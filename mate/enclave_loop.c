/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's life in the enclave:
 *
 *   EENTER(ecall) --EEXIT--> serve the OCALL --EENTER(ECALL_OCALL_RETURN)--> ...
 *                 --exception--> EENTER(ECALL_EXCEPTION) at CSSA = 1 --EEXIT--> ERESUME
 *
 * Signals need nothing here: the handler enters by itself, except when it could not (thread->unannounced).
 */
#include "enclave_loop.h"

#include <linux/errno.h>

#include "../enclave/include/sgx_arch.h"
#include "log.h"
#include "protect_log.h"
#include "signal.h"
#include "syscall.h"

enum leave {
    LEFT_BY_EEXIT,
    LEFT_BY_EXCEPTION,
    NOT_ENTERED_BUSY, /* #GP at EENTER: another processor runs the TCS */
    NOT_ENTERED_SIGNALS, /* signals were queued before ERESUME */
};

static const uint32_t never;

static enum leave call(struct host_thread *thread, struct enclave_call *call)
{
    struct sgx_enclave_run *run = call->run;
    long result;

    run->tcs = thread->tcs;
    run->function = 0;
    result = enclave_call(call);
    if (result == -EINTR)
        return NOT_ENTERED_SIGNALS;
    if (result)
        die("internal error: sgx_enter_enclave refused its arguments: %ld", result);
    if (run->function == ENCLU_EEXIT)
        return LEFT_BY_EEXIT;
    /* Also when that was an entry by enclave_exit_handler: `call` describes it */
    if (run->function == ENCLU_EENTER && run->exception_vector == VECTOR_GP)
        return NOT_ENTERED_BUSY;
    /* An AEX leaves RAX = ERESUME, so that is the leaf of every exception inside */
    if (run->function == ENCLU_ERESUME)
        return LEFT_BY_EXCEPTION;
    die("the CPU refused to enter the enclave: ENCLU leaf %u, exception %u, address %lx", run->function,
        run->exception_vector, (unsigned long)run->exception_addr);
}

static void prepare_entry(struct host_thread *thread, struct enclave_call *call, uint32_t ecall, uint64_t argument)
{
    call->rdi = ecall;
    call->rsi = (uint64_t)thread->exchange;
    call->rdx = argument;
    call->refuse = &never;
    call->function = ENCLU_EENTER;
}

/*
 * A slot is free for the LibOS before the host thread that ran it has made its last EEXIT, so a new thread may
 * have to wait a moment.
 */
static enum leave enter(struct host_thread *thread, uint32_t ecall, uint64_t argument)
{
    enum leave left;

    prepare_entry(thread, &thread->call, ecall, argument);
    while ((left = call(thread, &thread->call)) == NOT_ENTERED_BUSY)
        syscall0(__NR_sched_yield);
    return left;
}

_Static_assert(ENTER_OCALL_RETURN == ECALL_OCALL_RETURN && ENTER_FUNCTION == ENCLU_EENTER, "enclave_call.h");

/* OCALLs which neither begin nor end anything, and need little stack. */
static int is_plain(uint32_t op)
{
    switch (op) {
    case OCALL_SYSCALL:
    case OCALL_FUTEX_WAIT:
    case OCALL_FUTEX_WAKE:
    case OCALL_CLOCK:
    case OCALL_PROTECT:
    case OCALL_COMMIT:
    case OCALL_TRIM:
    case OCALL_FILL:
    case OCALL_SIGACTION:
    case OCALL_IGNORED_SIGNALS:
    case OCALL_CPUID:
        return 1;
    default:
        return 0;
    }
}

/*
 * Called after each exit of the loop's entries. Serves an OCALL and returns the exchange to enter again with, or NULL:
 * the loop is to deal with it. Without a return from enclave_call() in between, the enclave's returns are predicted
 * right.
 */
struct exchange *enclave_serve_at_exit(struct sgx_enclave_run *run)
{
    struct host_thread *thread = (struct host_thread *)((char *)run - offsetof(struct host_thread, run));

    if (run->function != ENCLU_EEXIT || thread->level || !is_plain(thread->exchange->op))
        return NULL;
    prepare_entry(thread, &thread->call, ECALL_OCALL_RETURN, 0);
    ocall_serve(thread);
    if (thread->blocked)
        signal_unblock(thread);
    return thread->exchange;
}

/* At CSSA = 1 the LibOS does one thing and leaves. Anything else is a bug of the LibOS. */
static void check_exception_entry(const struct host_thread *thread, const struct sgx_enclave_run *run, enum leave left,
                                  uint32_t expected)
{
    if (left != LEFT_BY_EEXIT)
        die("the LibOS failed while it handled an exception: vector %u, address %lx", run->exception_vector,
            (unsigned long)run->exception_addr);
    if (thread->exchange->exception_op != expected)
        die("the LibOS answered an exception with operation %u", thread->exchange->exception_op);
}

static void enter_at_level_one(struct host_thread *thread, uint32_t ecall, uint32_t expected)
{
    enum leave left;

    thread->level = 1;
    prepare_entry(thread, &thread->call, ecall, 0);
    thread->exchange->exception_op = 0;
    left = call(thread, &thread->call);
    check_exception_entry(thread, &thread->run, left, expected);
    /* From here on handlers may enter by themselves again, once the ERESUME is under way */
    thread->level = 0;
}

void enclave_enter_from_handler(struct host_thread *thread, uint32_t ecall)
{
    struct sgx_enclave_run run = {.tcs = thread->tcs};
    struct enclave_call nested = {.gate_stack = thread_block(thread) + BLOCK_GATE_STACKS + 2 * BLOCK_GATE_STACK_SIZE,
                                  .run = &run};
    enum leave left;

    prepare_entry(thread, &nested, ecall, 0);
    thread->exchange->exception_op = 0;
    left = call(thread, &nested);
    check_exception_entry(thread, &run, left, OCALL_EXCEPTION_DONE);
}

static enum leave resume(struct host_thread *thread)
{
    enum leave left;

    for (;;) {
        thread->call.refuse = &thread->unannounced;
        thread->call.function = ENCLU_ERESUME;
        left = call(thread, &thread->call);
        if (left == NOT_ENTERED_BUSY)
            return enter(thread, ECALL_OCALL_RETURN, 0);
        if (left != NOT_ENTERED_SIGNALS)
            return left;
        thread->unannounced = 0;
        enter_at_level_one(thread, ECALL_SIGNAL, OCALL_EXCEPTION_DONE);
    }
}

/*
 * A child that was killed in the enclave has left a frame in the SSA, as at an exception, and another refuses an entry
 * at CSSA = 1: its parent goes on with the return of the OCALL.
 */
static enum leave enter_after_child(struct host_thread *thread)
{
    sgx_thread_died(thread->tcs);
    thread->level = 1;
    prepare_entry(thread, &thread->call, ECALL_VFORK_DIED, 0);
    thread->exchange->exception_op = 0;
    if (call(thread, &thread->call) != LEFT_BY_EEXIT)
        die("vfork: the LibOS failed while it ended a child that had been killed");
    thread->level = 0;
    if (thread->exchange->exception_op == OCALL_EXCEPTION_DONE)
        return resume(thread);
    if (thread->exchange->op != OCALL_REFUSED)
        die("vfork: the LibOS does not take over from a child that has been killed");
    thread->exchange->op = OCALL_VFORK;
    return enter(thread, ECALL_OCALL_RETURN, 0);
}

uint32_t enclave_loop(struct host_thread *thread, uint32_t ecall, uint64_t argument)
{
    enum ocall_outcome outcome;
    enum leave left;

    thread->run.user_handler = (uint64_t)enclave_exit_handler;
    left = enter(thread, ecall, argument);
    for (;;) {
        if (left == LEFT_BY_EXCEPTION) {
            if (thread->run.exception_vector == VECTOR_PF)
                protect_log_catch_up();
            enter_at_level_one(thread, ECALL_EXCEPTION, OCALL_EXCEPTION_DONE);
            left = resume(thread);
            continue;
        }
        if (ecall == ECALL_PREPARE && thread->exchange->op == OCALL_REFUSED)
            return OCALL_REFUSED;
        outcome = ocall_serve(thread);
        if (outcome == OCALL_FINISH)
            return thread->exchange->op;
        if (thread->blocked)
            signal_unblock(thread);
        left = outcome == OCALL_CHILD_ENDED ? enter_after_child(thread) : enter(thread, ECALL_OCALL_RETURN, 0);
    }
}

long enclave_reset(struct host_thread *thread)
{
    struct enclave_call *reset = &thread->call;

    thread->run.user_handler = 0; /* what this leaves for is no OCALL */
    prepare_entry(thread, reset, ECALL_RESET, 0);
    thread->exchange->exception_op = 0;
    if (call(thread, reset) != LEFT_BY_EEXIT || thread->exchange->exception_op != OCALL_RESET_DONE)
        return -EIO;
    reset->refuse = &never;
    reset->function = ENCLU_ERESUME;
    return call(thread, reset) == LEFT_BY_EEXIT ? 0 : -EIO;
}
