// SPDX-License-Identifier: Apache-2.0
/* How leases end: closed, killed, revoked, or with their enclave; and what is left afterwards. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "container.h"
#include "enclave.h"
#include "tests.h"

#define PRIVATE TEEMATE_RANGE_PRIVATE

static const struct range_spec ranges[] = {{4, 4, 0, RW},
                                           {8, 8, PRIVATE, RW},
                                           {16, 16, PRIVATE, RW},
                                           {32, 16, PRIVATE, RW},
                                           {GROW_FIRST, 64, PRIVATE | TEEMATE_RANGE_GROW, RW},
                                           {0}};
static const uint64_t tcs[] = {8, 0};

static struct container start(int enclave, struct teemate_lease *options)
{
    struct container container = container_start(lease(enclave, ranges, tcs, options), NULL);

    check(!container_map(&container, 4, 4, RW) && !container_map(&container, 16, 32, RW) &&
              !container_map(&container, 8, 1, RW) && !container_map(&container, GROW_FIRST, 64, RW),
          "a container maps its lease");
    return container;
}

/* Nothing that the last holder wrote is there, and what was added is */
static void check_pristine(struct container *container)
{
    check(!container_peek(container, 16) && container->value == 0, "zeros are zeros again");
    check(!container_peek(container, 33) && container->value == PATTERN(33, 0), "content is as it was added");
    check(!container_peek(container, GROW_FIRST) && container->value == 0, "grown pages are gone");
    check(!container_peek(container, 8) && container->value == 0, "the TCS is as it was added");
}

static void soil(struct container *container)
{
    const uint64_t pages[] = {8, 16, 33, GROW_FIRST, GROW_FIRST + 1};
    unsigned int i;

    for (i = 0; i < sizeof(pages) / sizeof(*pages); i++)
        check(!container_poke(container, pages[i], 0x5ec7e7), "write page %lu", (unsigned long)pages[i]);
}

static void test_close(int enclave)
{
    struct teemate_lease options = {.cookie = 0xc0};
    struct container container = start(enclave, &options);
    struct teemate_event event;

    soil(&container);
    check(!container_close_lease(&container) && next_event(enclave, &event, 50), "mappings keep a lease alive");
    check(lease(enclave, ranges, tcs, NULL) == -EBUSY, "and exclusive");
    check(!container_unmap(&container, 0, ENCLAVE_PAGES), "unmap");
    check(!next_event(enclave, &event, 2000) && event.type == TEEMATE_EVENT_LEASE_END && event.lease_id == options.id &&
              event.cookie == 0xc0 && event.flags == 0 && event.count == 5,
          "the last reference ends it, with an event (%llu pages erased)", (unsigned long long)event.count);
    container_kill(&container);
}

static void test_kill(int enclave)
{
    struct teemate_lease options = {.cookie = 1};
    struct container container = start(enclave, &options);
    struct teemate_event event;
    long pages = (long)enclave_info(enclave).pages;

    check_pristine(&container);
    soil(&container);
    kill(container.process, SIGKILL);
    check(!next_event(enclave, &event, 5000) && event.lease_id == options.id, "SIGKILL ends a lease");
    check((long)enclave_info(enclave).pages <= pages, "its pages are given back");
    container_kill(&container);
}

static void test_revoke(int enclave)
{
    struct teemate_lease options = {.cookie = 2}, later;
    struct container container = start(enclave, &options), next;
    struct teemate_event event;

    check_pristine(&container);
    soil(&container);
    check(revoke_lease(enclave, options.id) == 0, "revoke");
    check(container_peek(&container, 16) == SIGBUS && container_peek(&container, 4) == SIGBUS &&
              container_peek(&container, 8) == SIGBUS && container_peek(&container, GROW_FIRST) == SIGBUS,
          "at once nothing of it is there any more");
    check(container_unmap(&container, 4, 1) == 0 && container_map(&container, 4, 1, RW) == EKEYREVOKED,
          "and it cannot be mapped again");
    check(!next_event(enclave, &event, 0) && event.lease_id == options.id && event.flags == TEEMATE_EVENT_REVOKED,
          "the event says that it was revoked");
    check(revoke_lease(enclave, options.id) == -ENOENT, "once only");
    memset(&later, 0, sizeof(later));
    next = start(enclave, &later);
    check_pristine(&next);
    check(container_peek(&container, 16) == SIGBUS, "the revoked holder still has nothing");
    container_kill(&container);
    check(next_event(enclave, &event, 50) != 0, "no second event when it dies");
    container_kill(&next);
    check(!next_event(enclave, &event, 5000), "the next holder's end");
}

/* Parked: the content outlives the lease, for whoever is given the range next */
static void test_keep(int enclave)
{
    struct range_spec kept[] = {{GROW_FIRST, 8, PRIVATE | TEEMATE_RANGE_GROW | TEEMATE_RANGE_KEEP, RW}, {0}};
    struct range_spec erased[] = {{GROW_FIRST, 8, PRIVATE | TEEMATE_RANGE_GROW, RW}, {0}};
    struct teemate_event event;
    int round;

    for (round = 0; round < 3; round++) {
        struct container container = container_start(lease(enclave, round ? erased : kept, NULL, NULL), NULL);
        uint64_t expected = round == 1 ? 0xbeef : 0;

        check(!container_map(&container, GROW_FIRST, 8, RW) && !container_peek(&container, GROW_FIRST) &&
                  container.value == expected,
              "content in round %d: kept, then erased", round);
        container_poke(&container, GROW_FIRST, 0xbeef);
        container_kill(&container);
        check(!next_event(enclave, &event, 5000), "its end");
    }
}

/* What an earlier lease parked is not counted against a later one's limit, nor in its favour when it is trimmed */
static void test_keep_and_trim(int enclave)
{
    struct range_spec kept[] = {{GROW_FIRST, 8, PRIVATE | TEEMATE_RANGE_GROW | TEEMATE_RANGE_KEEP, RW}, {0}};
    struct teemate_lease options = {.page_limit = 4};
    struct teemate_lease_info info = {0};
    struct container container = container_start(lease(enclave, kept, NULL, &options), NULL);
    struct teemate_event event;
    int fd;

    check(!container_map(&container, GROW_FIRST, 8, RW) && container_touch(&container, GROW_FIRST, 8) == 4, "fill");
    container_kill(&container);
    check(!next_event(enclave, &event, 5000) && event.count == 0, "parked");

    kept[0].flags &= ~(uint32_t)TEEMATE_RANGE_KEEP;
    options = (struct teemate_lease){.page_limit = 2};
    fd = lease(enclave, kept, NULL, &options);
    check(!map(fd, GROW_FIRST, 8, RW) && !poke(AT(GROW_FIRST), 1) && !poke(AT(GROW_FIRST + 4), 1), "use one, add one");
    check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(GROW_FIRST * PAGE), 5 * PAGE) == 0 &&
              !ioctl(fd, TEEMATE_IOC_LEASE_INFO, &info) && info.pages == 0,
          "after trimming both kinds the lease has none (%lld)", (long long)info.pages);
    check(!poke(AT(GROW_FIRST), 1) && !poke(AT(GROW_FIRST + 1), 1) && poke(AT(GROW_FIRST + 2), 1) == SIGBUS,
          "its limit is what it was");
    munmap((void *)BASE, ENCLAVE_PAGES * PAGE);
    close(fd);
    check(!next_event(enclave, &event, 5000) && event.count == 2, "its end");
}

/* A TCS says where the next thread will run: it must not be the last holder who says it */
static void test_tcs_alone(int enclave)
{
    struct range_spec kept[] = {{8, 8, PRIVATE | TEEMATE_RANGE_KEEP, RW}, {0}};
    struct range_spec erased[] = {{8, 8, PRIVATE, RW}, {0}};
    const struct {
        struct range_spec *ranges;
        uint64_t found, erased;
    } leases[] = {{NULL, 0, 1}, {kept, 0, 0}, {NULL, 1, 1}, {kept, 0, 0}, {erased, 1, 1}, {NULL, 0, 1}};
    const uint64_t ninth[] = {9, 0};
    struct teemate_event event;
    unsigned int i;

    for (i = 0; i < sizeof(leases) / sizeof(*leases); i++) {
        struct container container = container_start(lease(enclave, leases[i].ranges, ninth, NULL), NULL);

        check(!container_map(&container, 9, 1, RW) && !container_peek(&container, 9) &&
                  container.value == leases[i].found && !container_poke(&container, 9, 1),
              "holder %u of a TCS finds %s", i, leases[i].found ? "what was parked" : "it as it was added");
        container_kill(&container);
        check(!next_event(enclave, &event, 5000) && event.count == leases[i].erased, "its end (%llu pages erased)",
              (unsigned long long)event.count);
    }
}

static void test_single_mm(int enclave)
{
    struct teemate_lease options = {.flags = TEEMATE_LEASE_SINGLE_MM};
    struct range_spec range[] = {{16, 16, PRIVATE, RW}, {0}};
    int fd = lease(enclave, range, NULL, &options);
    struct teemate_lease_fd again = {.id = options.id};
    struct container first = container_start(ioctl(enclave, TEEMATE_IOC_LEASE_FD, &again) ? -1 : again.fd, NULL),
                     second = container_start(fd, NULL);
    struct teemate_event event;

    check(!container_map(&first, 16, 16, RW) && !container_poke(&first, 16, 42), "one address space maps the lease");
    check(container_map(&second, 16, 16, RW) == EBUSY, "another cannot");
    check(!container_execute_self(&first) && !container_map(&first, 16, 16, RW) && !container_peek(&first, 16) &&
              first.value == 42,
          "after execve the first one can again");
    check(container_map(&second, 16, 16, RW) == EBUSY, "the other still cannot");
    container_kill(&first);
    check(next_event(enclave, &event, 50) != 0, "a second descriptor keeps the lease");
    container_kill(&second);
    check(!next_event(enclave, &event, 5000), "until it is closed");
    again.fd = 0;
    check(ioctl(enclave, TEEMATE_IOC_LEASE_FD, &again) < 0 && errno == ENOENT, "then there is none to be had");
}

static void test_overflow(int enclave)
{
    struct range_spec range[] = {{16, 1, PRIVATE, RW}, {0}};
    struct teemate_event event = {0};
    unsigned int i, read = 0;

    for (i = 0; i < TEEMATE_EVENTS_MAX + 10; i++)
        close(lease(enclave, range, NULL, NULL));
    while (!next_event(enclave, &event, 0) && event.type == TEEMATE_EVENT_LEASE_END)
        read++;
    check(read == TEEMATE_EVENTS_MAX && event.type == TEEMATE_EVENT_OVERFLOW && event.count == 10,
          "%u events kept, then told that %llu are lost", read, (unsigned long long)event.count);
    check(next_event(enclave, &event, 0) != 0 && enclave_info(enclave).events_lost == 10, "told once");
    close(lease(enclave, range, NULL, NULL));
    check(!next_event(enclave, &event, 1000) && event.type == TEEMATE_EVENT_LEASE_END, "after that events come again");
}

static void test_enclave_end(void)
{
    struct teemate_setup survive = {.flags = TEEMATE_SETUP_LEASES_SURVIVE};
    struct range_spec range[] = {{16, 16, PRIVATE, RW}, {0}};
    struct teemate_enclave_fd found = {0};
    struct teemate_event event;
    struct teemate_lease options = {0};
    struct container container;
    int enclave = enclave_build(NULL), fd;

    container = container_start(lease(enclave, range, NULL, NULL), NULL);
    check(!container_map(&container, 16, 16, RW) && !container_poke(&container, 16, 1), "a lease of a dying enclave");
    close(enclave);
    check(container_peek(&container, 16) == SIGBUS, "ends with the enclave's last descriptor");
    container_kill(&container);

    enclave = enclave_build(&survive);
    fd = lease(enclave, range, NULL, &options);
    container = container_start(dup(fd), NULL);
    check(!container_map(&container, 16, 16, RW) && !container_poke(&container, 16, 1), "a lease that may survive");
    close(enclave);
    check(!container_peek(&container, 16), "does");
    check(ioctl(fd, TEEMATE_IOC_ENCLAVE, &found) == 0, "a new daemon gets the enclave back from the lease");
    close(fd);
    check(revoke_lease(found.fd, options.id) == 0 && container_peek(&container, 16) == SIGBUS, "and can revoke it");
    check(!next_event(found.fd, &event, 0) && event.lease_id == options.id, "and hears of its end");
    close(found.fd);
    container_kill(&container);
}

int end_test(void)
{
    int enclave = enclave_build(NULL);

    test_close(enclave);
    test_kill(enclave);
    test_revoke(enclave);
    test_keep(enclave);
    test_keep_and_trim(enclave);
    test_tcs_alone(enclave);
    test_single_mm(enclave);
    test_overflow(enclave);
    close(enclave);
    test_enclave_end();
    enclave = enclave_build(NULL);
    check(enclave_info(enclave).epc_pages == enclave_info(enclave).pages, "no page of the EPC is leaked");
    close(enclave);
    return check_failures != 0;
}
