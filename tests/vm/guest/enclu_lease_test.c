// SPDX-License-Identifier: Apache-2.0
/* Leases over emulated ENCLU: who enters what he has not leased is refused, and so is code inside that goes astray. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"
#include "probe.h"
#include "tests.h"

#define VECTOR_PF 14
#define PRIVATE TEEMATE_RANGE_PRIVATE

static struct sgx_enclave_run run;
static uint64_t words[8];

static int enter(unsigned int tcs)
{
    probe_run(EENTER, tcs, PROBE_NOTHING, words, &run);
    return run.function == EEXIT;
}

/* The kernel has the last word: EENTER raises a page fault at this page, and nothing has been entered. */
static int is_refused(unsigned int tcs, uint64_t page)
{
    return !enter(tcs) && run.function == EENTER && run.exception_vector == VECTOR_PF && run.exception_addr == AT(page);
}

/* Code inside writes to this page: 0, or the vector of the exception */
static int write_inside(unsigned int tcs, uint64_t page)
{
    uint64_t address[8] = {AT(page)};

    probe_run(EENTER, tcs, PROBE_WRITE, address, &run);
    return run.function == EEXIT ? 0 : run.exception_vector;
}

/* What entering a TCS takes, and a page of memory; one lease, mapped. The lease's id, or -errno. */
static int64_t lease_tcs(int enclave, unsigned int tcs)
{
    const struct range_spec ranges[] = {
        {PROBE_CODE, 4, 0, RX},           {PROBE_SSA + 2 * tcs, 2, PRIVATE, RW}, {PROBE_FS + tcs, 1, PRIVATE, RW},
        {PROBE_GS + tcs, 1, PRIVATE, RW}, {PROBE_SCRATCH + tcs, 1, PRIVATE, RW}, {0}};
    const uint64_t pages[] = {PROBE_TCS + tcs, 0};
    struct teemate_lease options = {0};
    int fd = lease(enclave, ranges, pages, &options), ret = fd < 0 ? fd : map(fd, PROBE_TCS + tcs, 1, RW);

    for (const struct range_spec *range = ranges; !ret && range->count; range++)
        ret = map(fd, range->page, range->count, (int)range->prot);
    check(map(fd, PROBE_TCS + tcs + 1, 1, RW) == -EACCES, "the TCS beside one's own cannot be mapped");
    close(fd);
    return ret ? ret : (int64_t)options.id;
}

struct neighbour {
    int enclave, ready[2], go[2];
};

static int neighbour(void *argument)
{
    struct neighbour *self = argument;
    char byte = 0;

    check(lease_tcs(self->enclave, 1) > 0 && enter(1), "a neighbour enters by the TCS of its lease");
    if (write(self->ready[1], &byte, 1) != 1 || read(self->go[0], &byte, 1) != 1)
        return 1;
    check(enter(1) && write_inside(1, PROBE_SCRATCH + 1) == 0, "and does so still when the other has tried");
    return check_failures != 0;
}

static int intruder(void *argument)
{
    int enclave = *(int *)argument;
    int64_t id = lease_tcs(enclave, 0);

    check(id > 0 && enter(0) && write_inside(0, PROBE_SCRATCH) == 0, "a holder enters, and writes to its memory");
    check(is_refused(1, PROBE_TCS + 1), "a TCS that another process has leased and mapped cannot be entered");
    check(is_refused(2, PROBE_TCS + 2), "nor one that nobody has");
    check(write_inside(0, PROBE_SCRATCH + 1) == VECTOR_PF, "code inside cannot write to what another has leased");
    check(enter(0) || run.exception_vector != VECTOR_PF, "(the TCS is still its own)");
    check(revoke_lease(enclave, (uint64_t)id) == 0 && is_refused(0, PROBE_TCS),
          "nor can its own TCS be entered once the lease is revoked");
    return check_failures != 0;
}

/* A TCS tells where its frames are; that one holds the TCS does not make them one's own. */
static int frameless(void *argument)
{
    const struct range_spec code[] = {{PROBE_CODE, 4, 0, RX}, {0}};
    const uint64_t pages[] = {PROBE_TCS + 3, 0};
    int fd = lease(*(int *)argument, code, pages, NULL);

    check(fd >= 0 && !map(fd, PROBE_TCS + 3, 1, RW) && !map(fd, PROBE_CODE, 4, RX), "a lease on a TCS and the code");
    check(is_refused(3, PROBE_SSA + 6), "the TCS cannot be entered without its frames");
    return check_failures != 0;
}

int enclu_lease_test(void)
{
    struct neighbour other = {.enclave = probe_build_to_lease()};
    pid_t child;
    char byte = 0;
    int status;

    check(other.enclave >= 0, "build (%d)", other.enclave);
    if (check_failures || pipe2(other.ready, O_CLOEXEC) || pipe2(other.go, O_CLOEXEC))
        return 1;
    fflush(stdout);
    child = fork();
    if (!child)
        _exit(neighbour(&other));
    close(other.ready[1]);
    check(read(other.ready[0], &byte, 1) == 1, "a neighbour is there");
    check(in_child(intruder, &other.enclave) == 0, "who tries to intrude");
    check(in_child(frameless, &other.enclave) == 0, "who has a TCS without frames");
    check(write(other.go[1], &byte, 1) == 1 && waitpid(child, &status, 0) == child && !status,
          "the neighbour ends well");
    close(other.enclave);
    return check_failures != 0;
}
