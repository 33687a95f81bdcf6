// SPDX-License-Identifier: Apache-2.0
/*
 * The life of an enclave and its leases, once for every allocation in it, with that one failing. Each time it
 * must either work all the same or end in -ENOMEM, and nothing may be left behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"
#include "tests.h"

#define PARAMETERS "/sys/module/fail_alloc/parameters/"
#define ALLOCATIONS_MAX 4000

static void set(const char *parameter, int value)
{
    char path[128], text[16];

    snprintf(path, sizeof(path), PARAMETERS "%s", parameter);
    snprintf(text, sizeof(text), "%d", value);
    write_text(path, text);
}

static int use_lease(int enclave)
{
    struct range_spec ranges[] = {{4, 4, 0, RW}, {32, 2, TEEMATE_RANGE_PRIVATE, RW}, {GROW_FIRST, 2, 3, RW}, {0}};
    uint64_t tcs[] = {8, 0};
    struct teemate_lease options = {.cookie = 1};
    struct teemate_enclave_fd found = {0};
    struct teemate_event event;
    int fd = lease(enclave, ranges, tcs, &options), ret;

    if (fd < 0)
        return fd;
    ret = map(fd, 32, 2, RW);
    if (!ret)
        ret = map(fd, GROW_FIRST, 2, RW);
    /* A fault that finds no memory is taken again */
    if (!ret && (poke(AT(32), 1) || poke(AT(GROW_FIRST), 1)))
        ret = -EFAULT;
    if (!ret && ioctl(fd, TEEMATE_IOC_ENCLAVE, &found))
        ret = -errno;
    if (found.fd > 0)
        close(found.fd);
    if (!ret)
        ret = revoke_lease(enclave, options.id);
    munmap((void *)BASE, ENCLAVE_PAGES * PAGE);
    close(fd);
    /* However it ended, its end was told: that takes no memory */
    if (next_event(enclave, &event, 1000) || event.type != TEEMATE_EVENT_LEASE_END)
        ret = -ENODATA;
    return ret;
}

static int live(void)
{
    struct teemate_setup setup = {.page_limit = 1000};
    int enclave = enclave_build(&setup), ret;

    if (enclave < 0)
        return enclave;
    ret = use_lease(enclave);
    close(enclave);
    return ret;
}

int memory_test(void)
{
    int number, ret, worked = 0, refused = 0, observer = open("/dev/teemate", O_RDWR | O_CLOEXEC);

    check(live() == 0, "without failures it works");
    set("process", getpid());
    for (number = 1; number < ALLOCATIONS_MAX; number++) {
        set("failed", 0);
        set("countdown", number);
        ret = live();
        if (!read_number(PARAMETERS "failed"))
            break;
        worked += ret == 0;
        refused += ret == -ENOMEM;
        if (ret && ret != -ENOMEM)
            check(0, "allocation %d failed: error %d instead of -ENOMEM", number, ret);
        if (enclave_info(observer).epc_pages)
            check(0, "allocation %d failed: %llu pages left", number,
                  (unsigned long long)enclave_info(observer).epc_pages);
    }
    set("process", 0);
    check(ret == 0 && number < ALLOCATIONS_MAX, "each of %d allocations failed once", number - 1);
    check(refused > 20 && worked > 0, "%d times -ENOMEM, %d times overcome", refused, worked);
    close(observer);
    return check_failures != 0;
}
