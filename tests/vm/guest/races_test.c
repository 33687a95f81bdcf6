// SPDX-License-Identifier: Apache-2.0
/* Two things at once that were not thought of together, until they were. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "container.h"
#include "enclave.h"
#include "tests.h"

#define ROUNDS 15
#define WRITTEN (AREAS * 16) /* pages */
#define GROWN 1500 /* pages: erasing them takes a while */

static int debug_write(int enclave, uint64_t page, uint64_t count, const void *source)
{
    struct teemate_debug_write request = {.offset = page * PAGE, .length = count * PAGE, .src = (uint64_t)source};

    return ioctl(enclave, TEEMATE_IOC_DEBUG_WRITE, &request) ? -errno : 0;
}

/* Writes over all areas again and again, until there is a lease */
static void keep_writing(int enclave, uint64_t *source)
{
    uint64_t value, i;

    for (value = 1;; value++) {
        for (i = 0; i < WRITTEN; i++)
            source[i * PAGE / sizeof(*source)] = value;
        if (debug_write(enclave, AREA(0), WRITTEN, source))
            _exit(0);
    }
}

/* A lease finds what was written last, and all of it */
static void test_debug_write(void)
{
    const struct range_spec ranges[] = {{AREA(0), WRITTEN, TEEMATE_RANGE_PRIVATE, RW}, {0}};
    uint64_t *source = mmap(NULL, WRITTEN * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t first, value, torn = 0, failed = 0, page;
    unsigned int round;

    for (round = 0; round < ROUNDS; round++) {
        int enclave = enclave_build(NULL), fd;
        pid_t writer = fork();

        if (!writer)
            keep_writing(enclave, source);
        usleep(round * 700);
        fd = lease(enclave, ranges, NULL, NULL);
        failed += map(fd, AREA(0), WRITTEN, RW) || peek(AT(AREA(0)), &first);
        for (page = 1; page < WRITTEN; page++) {
            failed += peek(AT(AREA(0) + page), &value) != 0;
            torn += value != first;
        }
        munmap((void *)BASE, ENCLAVE_PAGES * PAGE);
        waitpid(writer, NULL, 0);
        failed += debug_write(enclave, AREA(0), 1, source) != -EBUSY;
        close(fd);
        close(enclave);
    }
    check(!failed && !torn, "debug writes are done when a lease begins (%llu failed, %llu torn)",
          (unsigned long long)failed, (unsigned long long)torn);
    munmap(source, WRITTEN * PAGE);
}

/* While one task revokes a lease, its last descriptor goes away, and another asks for a new one */
static void test_duplicate(void)
{
    const struct range_spec ranges[] = {{GROW_FIRST, GROWN, TEEMATE_RANGE_PRIVATE | TEEMATE_RANGE_GROW, RW}, {0}};
    int enclave = enclave_build(NULL), touched = 0;
    unsigned int round, given = 0;

    for (round = 0; round < ROUNDS; round++) {
        struct teemate_lease options = {0};
        struct container container = container_start(lease(enclave, ranges, NULL, &options), NULL);
        struct teemate_lease_fd again = {0};
        pid_t revoker;

        touched +=
            container_map(&container, GROW_FIRST, GROWN, RW) ? 0 : container_touch(&container, GROW_FIRST, GROWN);
        revoker = fork();
        if (!revoker)
            _exit(revoke_lease(enclave, options.id) ? 1 : 0);
        kill(container.process, SIGKILL);
        do {
            again = (struct teemate_lease_fd){.id = options.id};
            if (!ioctl(enclave, TEEMATE_IOC_LEASE_FD, &again)) {
                given++;
                close(again.fd);
            }
        } while (again.fd > 0);
        while (enclave_info(enclave).leases) {
            again = (struct teemate_lease_fd){.id = options.id};
            if (!ioctl(enclave, TEEMATE_IOC_LEASE_FD, &again))
                close(again.fd);
        }
        waitpid(revoker, NULL, 0);
        container_kill(&container);
    }
    check(touched == ROUNDS * GROWN, "a dying lease was asked for (%u times it was still to be had)", given);
    check(enclave_info(enclave).leases == 0, "no lease is left");
    close(enclave);
}

int races_test(void)
{
    test_debug_write();
    test_duplicate();
    return check_failures != 0;
}
