// SPDX-License-Identifier: Apache-2.0
/*
 * Four processes lease, map, dirty, fork, are killed, and let go, while the daemon revokes at random. No
 * holder may ever find the last one's bytes, and in the end nothing is left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"
#include "tests.h"

#define WORKERS 4

struct shared {
    _Atomic unsigned int done, leased, busy, faults, foreign, revoked;
    _Atomic uint64_t last_id;
};
static struct shared *shared;

static unsigned int worker_state;

static unsigned int below(unsigned int limit)
{
    worker_state = worker_state * 1103515245 + 12345;
    return (worker_state >> 16) % limit;
}

/* Read all pages of an area before writing any: zeros, or somebody else's bytes? */
static void use_area(uint64_t first, uint64_t mark)
{
    uint64_t value;
    unsigned int i;

    for (i = 0; i < 16; i++) {
        if (peek(AT(first + i), &value)) {
            shared->faults++;
            return;
        }
        if (value)
            shared->foreign++;
    }
    for (i = 0; i < 16; i++)
        if (poke(AT(first + i), mark))
            shared->faults++;
    for (i = 0; i < 16; i++)
        if (!peek(AT(first + i), &value) && value != mark)
            shared->foreign++;
}

static void one_lease(int enclave, uint64_t mark)
{
    unsigned int area = below(AREAS);
    struct range_spec ranges[] = {{AREA(area), 16, TEEMATE_RANGE_PRIVATE, RW}, {4, 4, 0, RW}, {0}};
    uint64_t tcs[] = {8 + area, 0};
    struct teemate_lease options = {0};
    int fd = lease(enclave, ranges, tcs, &options);

    if (fd < 0) {
        shared->busy++;
        return;
    }
    shared->leased++;
    shared->last_id = options.id;
    if (!map(fd, AREA(area), 16, RW) && !map(fd, 4, 4, RW) && !map(fd, tcs[0], 1, RW))
        use_area(AREA(area), mark);
    else
        shared->faults++;
    if (below(2))
        munmap((void *)AT(AREA(area)), 16 * PAGE);
    close(fd);
    munmap((void *)BASE, ENCLAVE_PAGES * PAGE);
}

static void work(int enclave, unsigned int number, unsigned int rounds)
{
    unsigned int round;
    pid_t child;

    worker_state = number * 7919 + 1;
    for (round = 0; round < rounds; round++) {
        uint64_t mark = 0xdead000000000000ULL | number << 20 | round;

        if (below(8)) {
            one_lease(enclave, mark);
            continue;
        }
        child = fork();
        if (!child) {
            worker_state += round;
            one_lease(enclave, mark | 1ULL << 40);
            _exit(0);
        }
        if (below(2)) {
            usleep(below(2000));
            kill(child, SIGKILL);
        }
        waitpid(child, NULL, 0);
    }
    shared->done++;
    _exit(0);
}

int stress(unsigned int rounds)
{
    struct teemate_event event;
    int enclave = enclave_build(NULL);
    struct teemate_info before = enclave_info(enclave), after;
    unsigned int i, ends = 0, lost = 0;

    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (i = 0; i < WORKERS; i++)
        if (!fork())
            work(enclave, i, rounds);
    while (shared->done < WORKERS || !next_event(enclave, &event, 200)) {
        if (shared->done == WORKERS || !next_event(enclave, &event, 1)) {
            ends += event.type == TEEMATE_EVENT_LEASE_END;
            lost += event.type == TEEMATE_EVENT_OVERFLOW ? (unsigned int)event.count : 0;
        }
        if (below(4) == 0 && !revoke_lease(enclave, shared->last_id))
            shared->revoked++;
    }
    for (i = 0; i < WORKERS; i++)
        wait(NULL);
    after = enclave_info(enclave);
    printf("%u leased, %u busy, %u revoked, %u faults, %u ends, %u lost\n", shared->leased, shared->busy,
           shared->revoked, shared->faults, ends, lost);
    check(shared->leased > rounds && shared->revoked > 0, "there was work, and there were revocations");
    check(shared->foreign == 0, "nobody saw another's bytes");
    /* A child may have been killed between its lease and its counting it */
    check(ends + lost >= shared->leased, "every lease's end was told");
    check(after.leases == 0 && after.pages <= before.pages + 4, "nothing is left but four pages of shared data");
    close(enclave);
    return check_failures != 0;
}
