// SPDX-License-Identifier: Apache-2.0
/*
 * Mutates the head of the ELF files that it is given and checks them; of what elf_check() accepts it asserts what
 * the loader relies on. Deterministic: `fuzz_elf SEED ITERATIONS FILE...`; prints how many were accepted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elf_check.h"
#include "include/layout.h"

#define PAGE 4096UL
#define SEEDS_MAX 16

struct seed {
    unsigned char head[ELF_HEAD_SIZE];
    size_t head_size;
    uint64_t file_size;
};

static uint64_t state;

/* xorshift64*: the same sequence everywhere */
static uint64_t next_random(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
}

static uint64_t below(uint64_t limit)
{
    return next_random() % limit;
}

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "accepted although not %s\n", #condition);                                                 \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* What elf.c takes for granted. */
static void check_accepted(const struct elf_file *elf, uint64_t file_size)
{
    uint64_t previous_end = 0, span_max = 2UL * APP_CODE_END;
    int entry_found = 0;
    REQUIRE(elf->segment_count >= 1 && elf->segment_count <= ELF_SEGMENTS_MAX);
    REQUIRE(elf->low % PAGE == 0 && elf->high % PAGE == 0 && elf->low < elf->high && elf->high <= span_max);
    REQUIRE(elf->alignment >= PAGE && !(elf->alignment & (elf->alignment - 1)) && elf->alignment <= APP_CODE_END);
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        const struct elf_segment *segment = &elf->segments[i];
        REQUIRE(segment->memory_size > 0 && segment->file_size <= segment->memory_size);
        REQUIRE(segment->offset <= file_size && segment->file_size <= file_size - segment->offset);
        REQUIRE(segment->address >= elf->low && segment->address + segment->memory_size <= elf->high);
        REQUIRE(segment->address + segment->memory_size > segment->address);
        REQUIRE((segment->address & ~(PAGE - 1)) >= previous_end);
        REQUIRE((segment->address - segment->offset) % PAGE == 0);
        REQUIRE(!(segment->prot & ~7u));
        previous_end = (segment->address + segment->memory_size + PAGE - 1) & ~(PAGE - 1);
        if (segment->prot & 4 && elf->entry >= segment->address && elf->entry < segment->address + segment->memory_size)
            entry_found = 1;
    }
    REQUIRE(entry_found);
    REQUIRE(!elf->interpreter_size || elf->interpreter_offset + elf->interpreter_size <= file_size);
    REQUIRE(elf->interpreter_size <= 4096 && elf->interpreter_size != 1);
    REQUIRE(!elf->headers_address || (elf->headers_address >= elf->low && elf->headers_address < elf->high));
}

/* Values at which checks go wrong. */
static uint64_t interesting(uint64_t old)
{
    switch (below(10)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX - below(0x2000);
    case 2:
        return 1UL << below(64);
    case 3:
        return (1UL << below(64)) - 1;
    case 4:
        return old + below(0x3000) - 0x1000;
    case 5:
        return APP_CODE_END - APP_OFFSET + below(3) - 1;
    case 6:
        return below(0x10000);
    case 7:
        return old ^ (1UL << below(64));
    case 8:
        return old & ~(PAGE - 1);
    default:
        return next_random();
    }
}

static void mutate(unsigned char *head, size_t size)
{
    /* Mostly where the headers are. */
    size_t area = below(8) ? (size < 1024 ? size : 1024) : size;
    size_t widths[] = {1, 2, 4, 8}, width = widths[below(4)];
    if (area < width)
        return;
    size_t at = below(area - width + 1) & ~(below(4) ? width - 1 : 0);
    uint64_t value = 0;
    memcpy(&value, head + at, width);
    value = interesting(value);
    memcpy(head + at, &value, width);
}

static void run_one(const struct seed *seed, uint64_t *accepted)
{
    size_t size = below(16) ? seed->head_size : below(seed->head_size + 1);
    uint64_t file_size = size < seed->head_size ? size : below(8) ? seed->file_size : size + below(seed->file_size);
    unsigned char *head = malloc(size ? size : 1); /* exactly: the sanitizer sees one byte more */
    memcpy(head, seed->head, size);
    for (uint64_t count = below(6); count; count--)
        mutate(head, size);
    struct elf_file elf;
    if (!elf_check(&elf, head, size, file_size)) {
        check_accepted(&elf, file_size);
        ++*accepted;
    }
    free(head);
}

static int read_seed(struct seed *seed, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    seed->head_size = fread(seed->head, 1, sizeof seed->head, file);
    fseek(file, 0, SEEK_END);
    seed->file_size = (uint64_t)ftell(file);
    fclose(file);
    return 1;
}

int main(int argc, char **argv)
{
    static struct seed seeds[SEEDS_MAX];
    if (argc < 4 || argc - 3 > SEEDS_MAX) {
        fprintf(stderr, "usage: fuzz_elf SEED ITERATIONS FILE...\n");
        return 2;
    }
    state = strtoul(argv[1], NULL, 0) * 2 + 1;
    uint64_t iterations = strtoul(argv[2], NULL, 0), accepted = 0;
    for (int i = 3; i < argc; i++) {
        if (!read_seed(&seeds[i - 3], argv[i])) {
            fprintf(stderr, "fuzz_elf: cannot read %s\n", argv[i]);
            return 2;
        }
    }
    for (uint64_t i = 0; i < iterations; i++)
        run_one(&seeds[below((uint64_t)argc - 3)], &accepted);
    printf("%" PRIu64 " of %" PRIu64 " accepted\n", accepted, iterations);
    return 0;
}
