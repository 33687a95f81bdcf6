/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile host for the built image: maps build/libos.elf as the enclave, enters it in ways that no mate would, and
 * checks what comes out. Arguments: the case, the raw image, the ENCLU sites' offsets and the addresses of
 * some labels (test_hostile_entry.py reads them from the ELF file).
 */
#define _GNU_SOURCE
#include "hostile_host.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

static sigjmp_buf after_ud2;

static void case_order(void)
{
    check_refused(0, ECALL_OCALL_RETURN); /* never left */
    check_refused(0, ECALL_START_THREAD); /* never cloned */
    check_refused(1, ECALL_START); /* not the first thread */
    check_refused(0, STRANGE);
    check_refused(0, ECALL_EXCEPTION);
    start_until_log();
    check_refused(0, ECALL_START); /* it runs */
    check_refused(0, ECALL_START_THREAD);
    check_refused(1, ECALL_OCALL_RETURN); /* another thread */
    check_refused(1, ECALL_SCRUB); /* not the first thread */
}

static void case_return_twice(void)
{
    start_until_log();
    enter(0, 0, ECALL_OCALL_RETURN);
    check_left_with(OCALL_EXIT_GROUP);
    CHECK(exchange.u.exit_group.status != 0);
    enter(0, 0, ECALL_OCALL_RETURN); /* a host that ignores the end is told again */
    check_left_with(OCALL_EXIT_GROUP);
}

static void on_ud2(int number)
{
    (void)number;
    siglongjmp(after_ud2, 1);
}

/* Not even an exit is safe: the image stops at UD2 without having touched the pointers. */
static void check_stops(unsigned cssa, uint64_t ecall, uint64_t exchange_address, uint64_t target)
{
    if (!sigsetjmp(after_ud2, 1)) {
        enter_with(0, cssa, ecall, exchange_address, target);
        CHECK(!"it left");
    }
    CHECK(is_zero((void *)BASE, HEADER_SIZE));
}

static void case_pointers(void)
{
    static const uint64_t calls[] = {ECALL_START, ECALL_START_THREAD, ECALL_OCALL_RETURN, ECALL_SCRUB, ECALL_PREPARE};
    uint64_t good = (uint64_t)&exchange;
    signal(SIGILL, on_ud2);
    entry_flags &= ~(uint64_t)RFLAGS_AC; /* the handler would have it too */
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        check_stops(0, calls[i], BASE + APP_OFFSET, 0);
        check_stops(0, calls[i], ENCLAVE_BASE - 8, 0); /* its end would be inside */
        check_stops(0, calls[i], ENCLAVE_BASE + ELRANGE_SIZE_MAX - 8, 0);
        check_stops(0, calls[i], good + 4, 0);
        check_stops(0, calls[i], good, labels.entry);
    }
    check_stops(1, ECALL_SIGNAL, BASE + APP_OFFSET, 0);
    check_stops(1, ECALL_SIGNAL, good, BASE + APP_OFFSET);
    check_stops(2, ECALL_SIGNAL, good, 0);
}

static void case_buffer(void)
{
    exchange.buffer = BASE + APP_OFFSET;
    check_refused(0, ECALL_START);
    exchange.buffer = ENCLAVE_BASE - 8;
    check_refused(0, ECALL_START);
    exchange.buffer = UINT64_MAX - 8;
    check_refused(0, ECALL_START);
    exchange.buffer = (uint64_t)copy_buffer;
    exchange.buffer_size = EXCHANGE_BUFFER_SIZE - 1;
    check_refused(0, ECALL_START);
}

static struct sgx_gprs *ssa(void)
{
    return (struct sgx_gprs *)(THREAD_BLOCK(BASE, 0) + THREAD_SSA + SSA_FRAME_SIZE - GPRSGX_SIZE);
}

static uint32_t enter_at_level_one(uint64_t ecall)
{
    exchange.exception_op = 0;
    enter(0, 1, ecall);
    check_registers_cleared();
    return exchange.exception_op;
}

static void case_exceptions(void)
{
    struct sgx_gprs before = {.rip = BASE + APP_OFFSET, .rax = 7, .rflags = 0x202};
    *ssa() = before;
    CHECK(enter_at_level_one(ECALL_SIGNAL) == OCALL_EXCEPTION_DONE); /* a thread that has not begun */
    CHECK(enter_at_level_one(ECALL_EXCEPTION) == OCALL_REFUSED);
    CHECK(enter_at_level_one(ECALL_SCRUB) == OCALL_REFUSED);
    CHECK(enter_at_level_one(ECALL_VFORK_DIED) == OCALL_REFUSED);
    CHECK(!memcmp(ssa(), &before, sizeof(before)));

    start_until_log();
    CHECK(enter_at_level_one(ECALL_EXCEPTION) == OCALL_EXCEPTION_DONE); /* the host invents an exception */
    CHECK(enter_at_level_one(ECALL_VFORK_DIED) == OCALL_REFUSED); /* and the death of a child */
    CHECK(!memcmp(ssa(), &before, sizeof(before)));

    ssa()->rip = labels.usercopy_start;
    ssa()->exitinfo = EXITINFO_VALID | EXITINFO_TYPE_HARDWARE | VECTOR_PF;
    CHECK(enter_at_level_one(ECALL_EXCEPTION) == OCALL_EXCEPTION_DONE);
    CHECK(ssa()->rip == labels.usercopy_fault);

    ssa()->rip = labels.clock_try_tsc; /* SGX 1 */
    ssa()->exitinfo = EXITINFO_VALID | EXITINFO_TYPE_HARDWARE | VECTOR_UD;
    CHECK(enter_at_level_one(ECALL_EXCEPTION) == OCALL_EXCEPTION_DONE);
    CHECK(ssa()->rip == labels.clock_no_tsc);

    ssa()->rip = labels.program_resume_end - 1;
    CHECK(enter_at_level_one(ECALL_SIGNAL) == OCALL_EXCEPTION_DONE);
    CHECK(ssa()->rip == labels.program_resume);
    ssa()->rip = labels.program_resume_end;
    CHECK(enter_at_level_one(ECALL_SIGNAL) == OCALL_EXCEPTION_DONE);
    CHECK(ssa()->rip == labels.program_resume_end);

    ssa()->rip = BASE + APP_OFFSET;
    ssa()->rax = 4711;
    ssa()->rflags = 0x202 | RFLAGS_DF;
    CHECK(enter_at_level_one(ECALL_SIGNAL) == OCALL_EXCEPTION_DONE);
    CHECK(ssa()->rip == labels.program_resume && !(ssa()->rflags & RFLAGS_DF));
    struct thread *self = (struct thread *)(THREAD_BLOCK(BASE, 0) + THREAD_TCB);
    CHECK(self->frame->rip == BASE + APP_OFFSET && self->frame->rax == 4711 && self->pending);
}

/* Faults of the LibOS itself end the process, whatever the host makes of it. */
static void case_own_fault(void)
{
    start_until_log();
    ssa()->exitinfo = EXITINFO_VALID | EXITINFO_TYPE_HARDWARE | VECTOR_PF;
    for (int i = 0; i < 2; i++) {
        ssa()->rip = labels.entry;
        CHECK(enter_at_level_one(ECALL_EXCEPTION) == OCALL_EXCEPTION_DONE);
        CHECK(ssa()->rip == labels.frame_call);
    }
    ssa()->rip = labels.entry;
    CHECK(enter_at_level_one(ECALL_EXCEPTION) == OCALL_REFUSED);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"order", case_order},
    {"return-twice", case_return_twice},
    {"scrub", case_scrub},
    {"prepare", case_prepare},
    {"scrub-refused", case_scrub_refused},
    {"scrub-impossible", case_scrub_impossible},
    {"scrub-while-inside", case_scrub_while_inside},
    {"start-thread", case_start_thread},
    {"start-thread-after-scrub", case_start_thread_after_scrub},
    {"pointers", case_pointers},
    {"buffer", case_buffer},
    {"exceptions", case_exceptions},
    {"own-fault", case_own_fault},
};

int main(int argc, char **argv)
{
    CHECK(argc == 4 + (int)(sizeof(labels) / sizeof(uint64_t)));
    map_image(argv[2], argv[3]);
    for (unsigned i = 0; i < sizeof(labels) / sizeof(uint64_t); i++)
        ((uint64_t *)&labels)[i] = strtoul(argv[4 + i], NULL, 16);
    exchange.buffer = (uint64_t)copy_buffer;
    exchange.buffer_size = sizeof(copy_buffer);
    exchange.start_block = (uint64_t)&start_block;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (!strcmp(argv[1], cases[i].name)) {
            cases[i].run();
            return 0;
        }
    printf("no case %s\n", argv[1]);
    return 2;
}
