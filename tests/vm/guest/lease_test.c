// SPDX-License-Identifier: Apache-2.0
/* What a lease lets its holder map, and what it keeps from others. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "container.h"
#include "enclave.h"
#include "tests.h"

#define PRIVATE TEEMATE_RANGE_PRIVATE
#define GROW TEEMATE_RANGE_GROW

static const struct range_spec first_ranges[] = {{0, 4, 0, RX}, {4, 4, 0, RW}, {16, 16, PRIVATE, RW}, {0}};
static const struct range_spec second_ranges[] = {{0, 4, 0, RX}, {4, 4, 0, RW}, {32, 16, PRIVATE, RW}, {0}};

static int lease_one(int enclave, struct range_spec range)
{
    return lease(enclave, (struct range_spec[]){range, {0}}, NULL, NULL);
}

static void test_requests(int enclave)
{
    const uint64_t not_tcs[] = {4, 0}, twice[] = {8, 8, 0};

    check(lease(enclave, NULL, NULL, NULL) == -EINVAL, "a lease of nothing is refused");
    check(lease_one(enclave, (struct range_spec){ENCLAVE_PAGES, 1, 0, RW}) == -EINVAL, "beyond the enclave");
    check(lease_one(enclave, (struct range_spec){0, 1, 0, 0}) == -EINVAL, "a range without permissions is refused");
    check(lease_one(enclave, (struct range_spec){0, 1, 0, 8}) == -EINVAL, "with unknown permissions");
    check(lease_one(enclave, (struct range_spec){0, 1, 0x80, RW}) == -EINVAL, "with unknown flags");
    check(lease_one(enclave, (struct range_spec){0, 1, TEEMATE_RANGE_KEEP, RW}) == -EINVAL, "KEEP without PRIVATE");
    check(lease(enclave, (struct range_spec[]){{0, 4, 0, RX}, {3, 2, 0, RX}, {0}}, NULL, NULL) == -EINVAL,
          "overlapping ranges are refused");
    check(lease(enclave, NULL, not_tcs, NULL) == -EINVAL, "a TCS that is none");
    check(lease(enclave, NULL, twice, NULL) == -EINVAL, "the same TCS twice");
    check(revoke_lease(enclave, 12345) == -ENOENT, "an unknown lease cannot be revoked");
}

static void test_exclusive(int enclave)
{
    const uint64_t eighth[] = {8, 0}, ninth[] = {9, 0};
    struct range_spec around = {0, 16, 0, RW}, private_around = {8, 4, PRIVATE, RW};
    int first = lease(enclave, first_ranges, eighth, NULL);
    int second, shared;

    check(first >= 0, "a lease of two shared ranges, a private one and a TCS");
    check(lease(enclave, second_ranges, eighth, NULL) == -EBUSY, "its TCS is taken");
    check(lease(enclave, first_ranges, ninth, NULL) == -EBUSY, "its private range is taken");
    check(lease_one(enclave, (struct range_spec){31, 4, 0, RW}) == -EBUSY, "even in part, even to share");
    check(lease_one(enclave, private_around) == -EBUSY, "no private range around a TCS that another holds");
    check(lease_one(enclave, (struct range_spec){0, 4, PRIVATE, RX}) == -EBUSY, "what others share is not private");
    shared = lease_one(enclave, around);
    check(shared >= 0, "a shared range around that TCS is no harm");
    check(map(shared, 8, 1, PROT_READ) == -EACCES, "but does not map it");
    second = lease(enclave, second_ranges, ninth, NULL);
    check(second >= 0, "a second lease beside the first");
    close(shared);
    close(first);
    first = lease(enclave, first_ranges, eighth, NULL);
    check(first >= 0, "what was closed can be leased again");
    close(first);
    close(second);
}

static void test_mapping(int enclave)
{
    const uint64_t tcs[] = {8, 0};
    struct range_spec ranges[] = {{0, 4, 0, RX}, {4, 4, 0, RWX}, {16, 16, PRIVATE, PROT_READ}, {0}};
    int fd = lease(enclave, ranges, tcs, NULL);
    uint64_t value = 0;

    check(map(fd, 0, 4, PROT_READ | PROT_WRITE) == -EACCES, "no more than the range allows");
    check(map(fd, 4, 4, PROT_READ | PROT_EXEC) == -EACCES, "no more than SECINFO allows");
    check(map(fd, 9, 1, PROT_READ) == -EACCES, "no TCS that is not leased");
    check(map(fd, 4, 8, PROT_READ) == -EACCES, "nor together with what is leased");
    check(map(fd, 32, 1, PROT_READ) == -EACCES, "no page that is not leased");
    check(map(fd, 200, 1, PROT_NONE) == -EACCES, "not even without permissions");
    check(mmap((void *)AT(0), PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED &&
              errno == EINVAL,
          "no private copy");
    check(mmap((void *)AT(1), PAGE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED &&
              errno == EINVAL,
          "no page at another address");
    check(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL, "no address of chance");

    check(map(fd, 0, 4, PROT_READ | PROT_EXEC) == 0 && peek(AT(3) + 8, &value) == 0 && value == PATTERN(3, 8),
          "code as it was added");
    check(poke(AT(0), 1) == SIGSEGV, "code is not writable");
    check(map(fd, 4, 4, PROT_READ | PROT_WRITE) == 0 && poke(AT(4), 77) == 0, "data is");
    check(map(fd, 8, 1, PROT_READ | PROT_WRITE) == 0 && peek(AT(8) + 16, &value) == 0 && value == 16 * PAGE,
          "the leased TCS");
    check(map(fd, 16, 16, PROT_READ) == 0 && peek(AT(16), &value) == 0 && value == 0, "a page of zeros");
    check(mprotect((void *)AT(16), PAGE, PROT_READ | PROT_WRITE) && errno == EACCES, "mprotect beyond the range");
    check(mprotect((void *)AT(0), PAGE, PROT_READ | PROT_WRITE) && errno == EACCES, "mprotect beyond both");
    check(mprotect((void *)AT(4), PAGE, PROT_READ | PROT_EXEC) && errno == EACCES, "mprotect beyond SECINFO");
    check(mprotect((void *)AT(4), PAGE, PROT_READ) == 0 && poke(AT(4), 1) == SIGSEGV, "mprotect to less");
    check(map(fd, 0, 4, PROT_READ) == -EEXIST, "a second mapping over the first is refused");
    munmap((void *)BASE, ENCLAVE_PAGES * PAGE);
    close(fd);
}

static void test_growing(int enclave)
{
    struct range_spec ranges[] = {
        {GROW_FIRST, 64, PRIVATE | GROW, RWX}, {GROW_FIRST + 64, 8, PRIVATE, RW}, {32, 2, PRIVATE, RW}, {0}};
    struct teemate_lease options = {.page_limit = 4};
    struct teemate_lease_info info = {0};
    int fd = lease(enclave, ranges, NULL, &options), page;
    uint64_t value;

    check(map(fd, GROW_FIRST, 64, PROT_READ | PROT_WRITE) == 0 && map(fd, GROW_FIRST + 64, 8, PROT_READ) == 0, "map");
    check(peek(AT(GROW_FIRST + 64), NULL) == SIGBUS, "a page that was never added is not there");
    for (page = 0; page < 4; page++)
        check(peek(AT(GROW_FIRST + page), &value) == 0 && value == 0, "it appears, zeroed, where it may");
    check(poke(AT(GROW_FIRST + 4), 1) == SIGBUS, "not beyond the lease's limit of pages");
    check(ioctl(fd, TEEMATE_IOC_LEASE_INFO, &info) == 0 && info.pages == 4 && info.refused == 1 &&
              info.id == options.id,
          "the lease says so");
    check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(GROW_FIRST * PAGE), 2 * PAGE) == 0,
          "two pages given back");
    check(poke(AT(GROW_FIRST + 4), 5) == 0, "make room for another");
    check(madvise((void *)AT(GROW_FIRST + 4), PAGE, MADV_REMOVE) == 0 && peek(AT(GROW_FIRST + 4), &value) == 0 &&
              value == 0,
          "a page given back by madvise reads as zero");
    check(mprotect((void *)AT(GROW_FIRST), PAGE, PROT_READ | PROT_EXEC) == 0, "grown pages may be executable");
    check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(32 * PAGE), PAGE) < 0 && errno == EINVAL,
          "pages added with content cannot be given back");
    check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(500 * PAGE), PAGE) < 0 && errno == EACCES,
          "nor those of others");
    check(fallocate(fd, 0, 0, PAGE) < 0 && ftruncate(fd, 0) < 0, "the file has no size to change");
    munmap((void *)BASE, ENCLAVE_PAGES * PAGE);
    close(fd);
}

static void test_sharing(int enclave)
{
    const uint64_t eighth[] = {8, 0}, ninth[] = {9, 0};
    struct container first = container_start(lease(enclave, first_ranges, eighth, NULL), NULL);
    struct container second = container_start(lease(enclave, second_ranges, ninth, NULL), NULL);

    check(!container_map(&first, 4, 4, RW) && !container_map(&first, 16, 16, RW), "the first container maps");
    check(!container_map(&second, 4, 4, RW) && !container_map(&second, 32, 16, RW), "the second container maps");
    check(!container_poke(&first, 5, 0xfeed) && !container_peek(&second, 5) && second.value == 0xfeed,
          "they share what is shared");
    check(container_map(&second, 16, 1, RW) == EACCES, "the second cannot map what is the first's");
    check(container_peek(&second, 16) == SIGSEGV, "nor touch it");
    check(!container_peek(&second, 33) && second.value == PATTERN(33, 0), "its own begins as it was added");
    container_kill(&first);
    container_kill(&second);
}

int lease_test(void)
{
    int enclave = enclave_build(NULL);

    check(enclave >= 0, "build (%d)", enclave);
    test_requests(enclave);
    test_exclusive(enclave);
    test_mapping(enclave);
    test_growing(enclave);
    test_sharing(enclave);
    close(enclave);
    return check_failures != 0;
}
