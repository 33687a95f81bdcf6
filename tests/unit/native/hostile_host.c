/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "hostile_host.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENCLU_CALL_SIZE 5

uint64_t entry_argument = 0x1111111111111111;
uint64_t entry_flags = 0x202 | RFLAGS_DF | RFLAGS_AC; /* the LibOS must clear them */

struct labels labels;
struct exchange exchange;
char copy_buffer[EXCHANGE_BUFFER_SIZE];
struct start_block start_block;

void map_image(const char *path, const char *sites)
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

void enter_with(unsigned slot, unsigned cssa, uint64_t ecall, uint64_t exchange_address, uint64_t target)
{
    test_eenter(cssa, ecall, exchange_address, target, labels.entry, THREAD_BLOCK(BASE, slot) + THREAD_TCB);
}

void enter(unsigned slot, unsigned cssa, uint64_t ecall)
{
    enter_with(slot, cssa, ecall, (uint64_t)&exchange, 0);
}

int is_zero(const void *memory, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const char *)memory)[i])
            return 0;
    return 1;
}

/* Nothing but what EEXIT needs, and the host's own stack pointers. */
void check_registers_cleared(void)
{
    CHECK(seen.rax == ENCLU_EEXIT && seen.rbx == (uint64_t)test_eexit_target);
    CHECK(seen.rbp == 0x1111111111111111);
    CHECK(!(seen.rcx | seen.rdx | seen.rsi | seen.rdi | seen.r8 | seen.r9 | seen.r10 | seen.r11));
    CHECK(!(seen.r12 | seen.r13 | seen.r14 | seen.r15));
}

void check_left_with(uint32_t op)
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

void check_refused(unsigned slot, uint64_t ecall)
{
    exchange.op = 0;
    enter(slot, 0, ecall);
    check_left_with(OCALL_REFUSED);
}

/* A start block that the LibOS refuses to start from: it says so (OCALL_LOG), and is outside then. */
void start_until_log(void)
{
    start_block.block_size = 1;
    enter(0, 0, ECALL_START);
    check_left_with(OCALL_LOG);
}
