// SPDX-License-Identifier: Apache-2.0
/* Leases over the SGX driver's pages: here, over those of a stand-in that finds pages by address. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "container.h"
#include "enclave.h"
#include "tests.h"

#define FAKE_SGX_RECLAIM _IO(0xB6, 0)
#define FAKE_SGX_STALL _IO(0xB6, 1)
#define FAKE_SGX_STALLED _IO(0xB6, 2)
#define FAKE_SGX_RELEASE _IO(0xB6, 3)
#define PRIVATE TEEMATE_RANGE_PRIVATE
#define GROW TEEMATE_RANGE_GROW

static int open_driver(void)
{
    return open("/dev/fake_sgx", O_RDWR | O_CLOEXEC);
}

/* Why a lease is not just an mmap of the driver's own file */
static void test_hole(void)
{
    struct enclave_file file;
    int driver = open_driver();
    void *there;

    check(!enclave_file_open(&file, STANDARD_ENCLAVE) && !enclave_create(driver, &file) &&
              !enclave_add_all(driver, &file) && !enclave_init(driver, &file),
          "the same loader builds with the driver alone");
    mmap((void *)AT(16), PAGE, RW, MAP_SHARED | MAP_FIXED, driver, 0);
    there = mremap((void *)AT(16), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(33));
    check(there != MAP_FAILED && poke(AT(33), 0x666) == 0, "the driver's own mapping can be moved onto other pages");
    munmap((void *)BASE, ENCLAVE_PAGES * PAGE);
    close(driver);
}

static void test_setup(void)
{
    struct teemate_setup setup = {.flags = TEEMATE_SETUP_BACKING};
    int enclave = open("/dev/teemate", O_RDWR | O_CLOEXEC), memory = memfd_create("x", MFD_CLOEXEC);
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

    setup.backing_fd = memory;
    check(ioctl(enclave, TEEMATE_IOC_SETUP, &setup) < 0 && errno == ENODEV, "a memfd is no SGX enclave");
    setup.backing_fd = zero;
    check(ioctl(enclave, TEEMATE_IOC_SETUP, &setup) < 0 && errno == ENODEV, "another driver's file neither");
    setup.backing_fd = enclave;
    check(ioctl(enclave, TEEMATE_IOC_SETUP, &setup) < 0 && errno == ENODEV, "nor the enclave itself");
    setup.backing_fd = 99;
    check(ioctl(enclave, TEEMATE_IOC_SETUP, &setup) < 0 && errno == EBADF, "nor what is not open");
    close(zero);
    close(memory);
    close(enclave);
}

static int fork_sees_it(void *unused)
{
    (void)unused;
    return peek(AT(16), NULL);
}

static int holder(void *argument)
{
    int fd = *(int *)argument;
    void *here = (void *)AT(16);
    uint64_t value = 0;

    check(!map(fd, 16, 16, RW) && !poke(AT(16), 1), "map the private range");
    check(!map(fd, 32, 16, PROT_READ) && !peek(AT(33), &value) && value == PATTERN(33, 0), "the driver's pages");
    check(mprotect((void *)AT(32), PAGE, RW) && errno == EACCES, "mprotect stays within the lease");
    check(!map(fd, 9, 1, RW) && map(fd, 8, 1, RW) == -EACCES, "the leased TCS and no other");
    check(map(fd, 64, 1, PROT_READ) == -EACCES && map(fd, 16, 17, PROT_READ) < 0, "nothing that is not leased");
    check(!map(fd, GROW_FIRST, 4, RW) && !peek(AT(GROW_FIRST), &value) && value == 0, "a page that the driver adds");
    check(mremap(here, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(64)) == MAP_FAILED, "mremap elsewhere");
    check(mremap(here, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(64)) == MAP_FAILED, "mremap to double");
    check(mremap(here, 16 * PAGE, 20 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED, "mremap to grow");
    check(syscall(SYS_remap_file_pages, here, PAGE, 0, 64, 0) < 0, "remap_file_pages");
    check(madvise(here, PAGE, MADV_DOFORK) < 0, "MADV_DOFORK");
    check(in_child(fork_sees_it, NULL) == SIGSEGV, "a forked child has no part in it");
    check(!peek(AT(16), &value) && value == 1, "all is where it was");
    return check_failures != 0;
}

static void test_lease(int enclave)
{
    struct range_spec ranges[] = {
        {16, 16, PRIVATE, RW}, {32, 16, 0, PROT_READ}, {GROW_FIRST, 4, PRIVATE | GROW, RW}, {0}};
    uint64_t tcs[] = {9, 0};
    int fd = lease(enclave, ranges, tcs, NULL);
    struct teemate_event event;

    check(fd >= 0, "a lease");
    check(lease(enclave, ranges, NULL, NULL) == -EBUSY, "is exclusive");
    check(in_child(holder, &fd) == 0, "its holder");
    close(fd);
    check(!next_event(enclave, &event, 5000), "its end");
}

/* The driver takes a page away and gives it another place: every lease must follow */
static void test_reclaim(int enclave, int driver)
{
    struct range_spec shared[] = {{4, 4, 0, RW}, {0}};
    struct container first = container_start(lease(enclave, shared, NULL, NULL), NULL);
    struct container second = container_start(lease(enclave, shared, NULL, NULL), NULL);

    check(!container_map(&first, 4, 4, RW) && !container_poke(&first, 5, 0x77777), "one container writes");
    check(!container_map(&second, 4, 4, RW) && !container_peek(&second, 5) && second.value == 0x77777,
          "another container reads");
    check(ioctl(driver, FAKE_SGX_RECLAIM, 5 * PAGE) == 2, "the driver finds both mappings when it reclaims");
    check(!container_peek(&first, 5) && first.value == 0x77777 && !container_peek(&second, 5) &&
              second.value == 0x77777,
          "both see the page in its new place");
    container_kill(&first);
    check(!container_peek(&second, 5), "one's end is not the other's");
    container_kill(&second);
}

static void test_revoke(int enclave, int driver)
{
    struct range_spec range[] = {{4, 4, 0, RW}, {16, 16, PRIVATE, RW}, {0}}, shared[] = {{4, 4, 0, RW}, {0}};
    struct teemate_lease options = {.cookie = 9};
    struct container victim = container_start(lease(enclave, range, NULL, &options), NULL);
    struct container other = container_start(lease(enclave, shared, NULL, NULL), NULL), next;

    check(!container_map(&victim, 4, 4, RW) && !container_map(&victim, 16, 16, RW) && !container_poke(&victim, 4, 1) &&
              !container_poke(&victim, 16, 1),
          "a holder");
    check(!container_map(&other, 4, 4, RW) && !container_peek(&other, 4), "another holder");
    check(revoke_lease(enclave, options.id) == 0, "revoke the first");
    check(container_peek(&victim, 4) == SIGBUS && container_peek(&victim, 16) == SIGBUS &&
              container_peek(&victim, 17) == SIGBUS,
          "neither touched nor untouched pages come back by faults");
    check(ioctl(driver, FAKE_SGX_RECLAIM, 4 * PAGE) == 1, "the driver does not see that mapping any more");
    check(container_map(&victim, 16, 1, RW) == EKEYREVOKED || container_unmap(&victim, 16, 16) == 0, "nor again");
    check(!container_peek(&other, 4), "the second is undisturbed");
    next = container_start(lease(enclave, range, NULL, &options), NULL);
    check(!container_map(&next, 16, 16, RW) && !container_peek(&next, 16), "the range can be leased again");
    check(container_peek(&victim, 17) != 0, "not by the first");
    container_kill(&victim);
    container_kill(&other);
    container_kill(&next);
}

struct slow_holder {
    int lease, go[2];
};

/* Touches a page whose fault the driver does not finish, and after that, when it is told, what it could touch before.
 */
static int slow_holder(void *argument)
{
    struct slow_holder *self = argument;
    char byte;

    check(!map(self->lease, 16, 16, RW) && !poke(AT(16), 1), "a holder");
    close(self->lease);
    close(self->go[1]);
    poke(AT(17), 1);
    if (read(self->go[0], &byte, 1) < 0)
        return 1;
    check(peek(AT(16), NULL) == SIGBUS && peek(AT(18), NULL) == SIGBUS, "nothing is left to it of what it had");
    while (!peek(AT(17), NULL)) /* for a moment, where nobody has waited for the event */
        sched_yield();
    return check_failures != 0;
}

static pid_t start_slow_holder(int enclave, int driver, struct slow_holder *holder, struct teemate_lease *options)
{
    struct range_spec range[] = {{16, 16, PRIVATE, RW}, {0}};
    pid_t child;

    holder->lease = lease(enclave, range, NULL, options);
    if (pipe2(holder->go, O_CLOEXEC))
        return -1;
    ioctl(driver, FAKE_SGX_STALL, 17 * PAGE);
    fflush(stdout);
    child = fork();
    if (!child) {
        close(enclave);
        _exit(slow_holder(holder));
    }
    close(holder->lease);
    close(holder->go[0]);
    while (ioctl(driver, FAKE_SGX_STALLED) != 1)
        sched_yield();
    return child;
}

static int end_slow_holder(pid_t child, struct slow_holder *holder)
{
    int status;

    close(holder->go[1]);
    return waitpid(child, &status, 0) == child && status == 0;
}

/* Its fault, with mmap_lock held, may take as long as it likes: it delays nobody but itself */
static void test_slow_holder(int enclave, int driver)
{
    struct range_spec range[] = {{16, 16, PRIVATE, RW}, {0}};
    struct teemate_lease options = {.cookie = 11};
    struct teemate_lease_info info = {0};
    struct teemate_event event;
    struct slow_holder holder;
    pid_t child;
    int next;

    while (!next_event(enclave, &event, 0))
        ;
    child = start_slow_holder(enclave, driver, &holder, &options);
    check(revoke_lease(enclave, options.id) == 0 && ioctl(driver, FAKE_SGX_STALLED) == 1,
          "a lease is revoked while its holder sits in a page fault");
    info.id = options.id;
    check(!ioctl(enclave, TEEMATE_IOC_LEASE_INFO, &info) && info.flags == TEEMATE_LEASE_ENDED, "it has ended");
    check(revoke_lease(enclave, options.id) == -ENOENT, "once");
    check(lease(enclave, range, NULL, NULL) == -EBUSY && next_event(enclave, &event, 0) < 0,
          "but its pages are nobody else's yet");
    ioctl(driver, FAKE_SGX_RELEASE);
    check(!next_event(enclave, &event, 5000) && event.lease_id == options.id && event.flags == TEEMATE_EVENT_REVOKED,
          "until the holder is out of it");
    next = lease(enclave, range, NULL, NULL);
    check(next >= 0, "then they are");
    check(end_slow_holder(child, &holder), "the holder ends well");
    close(next);

    child = start_slow_holder(enclave, driver, &holder, &options);
    close(enclave);
    check(ioctl(driver, FAKE_SGX_STALLED) == 1, "nor does it delay the end of the enclave");
    ioctl(driver, FAKE_SGX_RELEASE);
    check(end_slow_holder(child, &holder), "the holder ends well");
}

int hardware_test(void)
{
    struct teemate_setup setup = {.flags = TEEMATE_SETUP_BACKING, .backing_fd = open_driver()};
    int enclave;

    test_hole();
    test_setup();
    enclave = enclave_build(&setup);
    check(enclave >= 0, "the same loader builds through the module (%d)", enclave);
    check(enclave_info(enclave).flags == TEEMATE_ENCLAVE_INITIALIZED && enclave_info(enclave).pages == 0,
          "not emulated");
    test_lease(enclave);
    test_reclaim(enclave, setup.backing_fd);
    test_revoke(enclave, setup.backing_fd);
    test_slow_holder(enclave, setup.backing_fd); /* closes it */
    close(setup.backing_fd);
    return check_failures != 0;
}
