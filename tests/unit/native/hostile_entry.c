/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile host for the built image: maps build/libos.elf as the enclave, enters it in ways that no mate would, and
 * checks what comes out. Arguments: the case, the raw image, the ENCLU sites' offsets and the addresses of
 * some labels (test_hostile_entry.py reads them from the ELF file).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../enclave/extended_state.h"
#include "../../../enclave/include/sgx_arch.h"

#define ENCLU_CALL_SIZE 5
#define BASE COMPARTMENT_BASE(0)
#define STRANGE 99
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s is false\n", __LINE__, #condition);                                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

struct seen_registers { /* in the order of hostile_entry.S */
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rflags;
    uint8_t vectors[96];
};
extern struct seen_registers seen;
void test_eenter(uint64_t cssa, uint64_t ecall, uint64_t exchange, uint64_t target, uint64_t entry, uint64_t gs);
void test_gate(void);
extern char test_eexit_target[];
uint64_t entry_argument = 0x1111111111111111;
uint64_t entry_flags = 0x202 | RFLAGS_DF | RFLAGS_AC; /* the LibOS must clear them */

static struct {
    uint64_t entry, program_resume, program_resume_end, usercopy_start, usercopy_fault, frame_call, clock_try_tsc,
        clock_no_tsc;
} labels;
static struct exchange exchange;
static char copy_buffer[EXCHANGE_BUFFER_SIZE];
static struct start_block start_block;
static sigjmp_buf after_ud2;

static void map_image(const char *path, const char *sites)
{
    int fd = open(path, O_RDONLY);
    off_t size = lseek(fd, 0, SEEK_END);
    char *image = mmap((void *)ENCLAVE_BASE, (size_t)size, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
    CHECK(image == (char *)ENCLAVE_BASE);
    for (char *end; *sites; sites = *end ? end + 1 : end) {
        uint64_t site = ENCLAVE_BASE + strtoul(sites, &end, 16);
        int32_t distance = (int32_t)(int64_t)(MODEL_ENCLU_GATE - (site + ENCLU_CALL_SIZE));
        *(uint8_t *)site = 0xe8;
        memcpy((char *)site + 1, &distance, sizeof(distance));
    }
    uint8_t *gate = mmap((void *)MODEL_ENCLU_GATE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    void (*target)(void) = test_gate;
    memcpy(gate, "\xff\x25\2\0\0\0", 6); /* jmp *2(%rip) */
    memcpy(gate + 8, &target, sizeof(target));
    void *memory = mmap((void *)BASE, COMPARTMENT_STRIDE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(memory == (void *)BASE);
}

static void enter_with(unsigned slot, unsigned cssa, uint64_t ecall, uint64_t exchange_address, uint64_t target)
{
    test_eenter(cssa, ecall, exchange_address, target, labels.entry, THREAD_BLOCK(BASE, slot) + THREAD_TCB);
}

static void enter(unsigned slot, unsigned cssa, uint64_t ecall)
{
    enter_with(slot, cssa, ecall, (uint64_t)&exchange, 0);
}

static int is_zero(const void *memory, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const char *)memory)[i])
            return 0;
    return 1;
}

/* Nothing but what EEXIT needs, and the host's own stack pointers. */
static void check_registers_cleared(void)
{
    CHECK(seen.rax == ENCLU_EEXIT && seen.rbx == (uint64_t)test_eexit_target);
    CHECK(seen.rbp == 0x1111111111111111);
    CHECK(!(seen.rcx | seen.rdx | seen.rsi | seen.rdi | seen.r8 | seen.r9 | seen.r10 | seen.r11));
    CHECK(!(seen.r12 | seen.r13 | seen.r14 | seen.r15));
}

static void check_left_with(uint32_t op)
{
    check_registers_cleared();
    if (exchange.op != op)
        printf("op %u, not %u\n", exchange.op, op);
    CHECK(exchange.op == op);
    if (op == OCALL_REFUSED)
        return;
    CHECK(is_zero(seen.vectors, sizeof(seen.vectors)));
    CHECK(!(seen.rflags & (RFLAGS_DF | RFLAGS_AC)));
}

static void check_refused(unsigned slot, uint64_t ecall)
{
    exchange.op = 0;
    enter(slot, 0, ecall);
    check_left_with(OCALL_REFUSED);
}

/* A start block that the LibOS refuses to start from: it says so (OCALL_LOG), and is outside then. */
static void start_until_log(void)
{
    start_block.block_size = 1;
    enter(0, 0, ECALL_START);
    check_left_with(OCALL_LOG);
}

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

static void case_scrub(void)
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

static void case_prepare(void)
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
static void case_scrub_refused(void)
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
static void case_scrub_impossible(void)
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

static void case_scrub_while_inside(void)
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
static void case_start_thread(void)
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

static void case_start_thread_after_scrub(void)
{
    start_until_log();
    compartment_at(BASE)->slots_used = 2;
    thread_in(1)->state = THREAD_STARTING;
    enter(0, 0, ECALL_SCRUB);
    CHECK(thread_in(1)->state == THREAD_FREE);
    check_refused(1, ECALL_START_THREAD);
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
