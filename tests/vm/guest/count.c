// SPDX-License-Identifier: Apache-2.0
/*
 * How many instructions the steps of a container's attach take, beside plain mmap. QEMU's -icount makes the
 * time stamp counter count them (one nanosecond each); elsewhere the numbers mean nothing.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include "check.h"
#include "enclave.h"
#include "tests.h"

#define ROUNDS 33
#define TOUCHED 256 /* pages */
#define MAPPINGS 3

/* As a container maps them: code, its compartment, and a TCS */
static const struct mapping {
    uint64_t page, count;
    int prot;
} mappings[MAPPINGS] = {{0, 4, RX}, {GROW_FIRST, TOUCHED, RW}, {8, 1, RW}};

static const struct range_spec ranges[] = {
    {0, 4, 0, RX}, {GROW_FIRST, TOUCHED, TEEMATE_RANGE_PRIVATE | TEEMATE_RANGE_GROW, RW}, {0}};
static const uint64_t tcs[] = {8, 0};

static int ascending(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

struct counts {
    uint64_t rounds[ROUNDS];
};

/* The median leaves out the rounds that a timer interrupted */
static void print_count(const char *name, struct counts *counts)
{
    qsort(counts->rounds, ROUNDS, sizeof(counts->rounds[0]), ascending);
    printf("count %s %llu\n", name, (unsigned long long)counts->rounds[ROUNDS / 2]);
}

static void touch_all(void)
{
    unsigned int i;

    for (i = 0; i < TOUCHED; i++)
        *(volatile char *)AT(GROW_FIRST + i) = 1;
}

/* Three mmaps, first touches, and unmapping, of anonymous memory (fd < 0), a memfd or a lease */
static int one_round(int fd, int flags, unsigned int round, struct counts *map, struct counts *touch)
{
    uint64_t start = __rdtsc();
    unsigned int i;

    for (i = 0; i < MAPPINGS; i++)
        if (mmap((void *)AT(mappings[i].page), mappings[i].count * PAGE, mappings[i].prot, flags | MAP_FIXED_NOREPLACE,
                 fd, fd < 0 ? 0 : (off_t)(mappings[i].page * PAGE)) == MAP_FAILED)
            return -1;
    map->rounds[round] = __rdtsc() - start;
    start = __rdtsc();
    touch_all();
    touch->rounds[round] = (__rdtsc() - start) / TOUCHED;
    return 0;
}

static void unmap(void)
{
    munmap((void *)BASE, ENCLAVE_PAGES * PAGE);
}

static int count_plain(void)
{
    static struct counts anonymous_map, anonymous_touch, memfd_map, memfd_touch;
    unsigned int round;
    int bad = 0;

    for (round = 0; round < ROUNDS; round++) {
        int fd = memfd_create("plain", MFD_CLOEXEC);

        bad |= one_round(-1, MAP_PRIVATE | MAP_ANONYMOUS, round, &anonymous_map, &anonymous_touch);
        unmap();
        bad |=
            ftruncate(fd, (off_t)(ENCLAVE_PAGES * PAGE)) || one_round(fd, MAP_SHARED, round, &memfd_map, &memfd_touch);
        unmap();
        close(fd);
    }
    print_count("three-mmaps-anonymous", &anonymous_map);
    print_count("three-mmaps-memfd", &memfd_map);
    print_count("first-touch-anonymous", &anonymous_touch);
    print_count("first-touch-memfd", &memfd_touch);
    return bad;
}

static int count_leases(int enclave)
{
    static struct counts lease_counts, attach, touch, revoke, empty_revoke;
    unsigned int round;
    int bad = 0;

    for (round = 0; round < ROUNDS; round++) {
        struct teemate_lease options = {0};
        struct teemate_revoke request;
        uint64_t start = __rdtsc();
        int fd = lease(enclave, ranges, tcs, &options);

        lease_counts.rounds[round] = __rdtsc() - start;
        bad |= fd < 0 || one_round(fd, MAP_SHARED, round, &attach, &touch);
        request.id = options.id;
        start = __rdtsc();
        bad |= ioctl(enclave, TEEMATE_IOC_REVOKE, &request);
        revoke.rounds[round] = __rdtsc() - start;
        unmap();
        close(fd);

        fd = lease(enclave, ranges, tcs, &options);
        request.id = options.id;
        start = __rdtsc();
        bad |= fd < 0 || ioctl(enclave, TEEMATE_IOC_REVOKE, &request);
        empty_revoke.rounds[round] = __rdtsc() - start;
        close(fd);
    }
    print_count("lease", &lease_counts);
    print_count("attach", &attach);
    print_count("first-touch-lease", &touch);
    print_count("revoke-unmapped", &empty_revoke);
    print_count("revoke-256-pages", &revoke);
    return bad;
}

int count_instructions(void)
{
    int enclave = enclave_build(NULL);

    check(enclave >= 0 && !count_plain() && !count_leases(enclave), "counted");
    close(enclave);
    return check_failures != 0;
}
