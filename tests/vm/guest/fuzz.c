// SPDX-License-Identifier: Apache-2.0
/* Random steps over every entry point. Nothing is checked but that the kernel stays sane. */
#define _GNU_SOURCE
#include <asm/sgx.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"
#include "tests.h"

#define DESCRIPTORS 48
#define WINDOW 1200 /* pages of the enclave that the steps play with */

static uint32_t state;
static int descriptors[DESCRIPTORS];
static unsigned int descriptor_count;
static unsigned char scratch[32 * 4096] __attribute__((aligned(4096)));
static char *edge; /* a page with nothing behind it */
static unsigned long succeeded, refused;

static uint32_t random_number(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static uint32_t below(uint32_t limit)
{
    return random_number() % limit;
}

static uint64_t odd_number(void)
{
    static const uint64_t numbers[] = {
        0,           1,     0xfff,          0x1000,     0x7fffffff,  0x80000000,         0xffffffff,
        0x100000000, BASE,  0x7ffffffff000, 1ULL << 47, ~0ULL << 47, 0xffffffff81000000, ~0ULL,
        ~0xfffULL,   0x203, 0x205,          0x100,      4096 * PAGE};

    return below(4) ? numbers[below(sizeof(numbers) / sizeof(*numbers))]
                    : (uint64_t)random_number() << 32 | random_number();
}

static int descriptor(void)
{
    return descriptors[below(descriptor_count)];
}

static void keep(int fd)
{
    unsigned int place = descriptor_count;

    if (fd < 0)
        return;
    if (descriptor_count == DESCRIPTORS)
        close(descriptors[place = below(DESCRIPTORS)]);
    else
        descriptor_count++;
    descriptors[place] = fd;
}

static void count(long status)
{
    if (status < 0)
        refused++;
    else
        succeeded++;
}

static uint64_t page(void)
{
    return below(8) ? below(WINDOW) : below(ENCLAVE_PAGES + 8);
}

static void step_raw_ioctl(void)
{
    static const unsigned int commands[] = {SGX_IOC_ENCLAVE_CREATE,    SGX_IOC_ENCLAVE_ADD_PAGES, SGX_IOC_ENCLAVE_INIT,
                                            SGX_IOC_ENCLAVE_PROVISION, TEEMATE_IOC_SETUP,         TEEMATE_IOC_LEASE,
                                            TEEMATE_IOC_REVOKE,        TEEMATE_IOC_LEASE_INFO,    TEEMATE_IOC_INFO,
                                            TEEMATE_IOC_DEBUG_WRITE,   TEEMATE_IOC_ENCLAVE,       TEEMATE_IOC_LEASE_FD};
    uint64_t *words = (uint64_t *)scratch;
    unsigned int command = commands[below(sizeof(commands) / sizeof(*commands))], i;
    void *argument = scratch;

    for (i = 0; i < 16; i++)
        words[i] = below(3) ? below(64) * PAGE : odd_number();
    if (!below(4))
        command = (command & ~0x3fff0000u) | below(0x4000) << 16; /* another size */
    if (!below(8))
        command = random_number();
    if (!below(6))
        argument = below(2) ? (void *)odd_number() : edge + PAGE - below(64);
    count(ioctl(descriptor(), command, argument));
}

static void step_add(void)
{
    static const uint64_t kinds[] = {0x203, 0x205, 0x207, 0x100, 0x201};

    memset(scratch, below(3) ? 0 : (int)random_number(), below(2) ? sizeof(scratch) : 64);
    count(enclave_add(descriptor(), page(), below(16), kinds[below(5)], (int)below(2),
                      below(8) ? (void *)scratch : (void *)edge));
}

static void step_lease(void)
{
    struct range_spec ranges[5] = {{0}};
    uint64_t tcs[4] = {0};
    struct teemate_lease options = {.flags = below(2), .page_limit = below(3) ? 0 : below(20)};
    unsigned int i, wanted = below(5);
    int fd;

    for (i = 0; i < wanted; i++)
        ranges[i] = (struct range_spec){page(), 1 + below(below(4) ? 16 : 400), below(8), 1 + below(7)};
    for (i = 0; i < below(4); i++)
        tcs[i] = 8 + below(9);
    fd = lease(descriptor(), ranges, tcs, &options);
    count(fd);
    keep(fd);
}

static void step_memory(void)
{
    static const int advice[] = {MADV_DONTNEED, MADV_REMOVE,  MADV_WILLNEED,      MADV_HUGEPAGE,
                                 MADV_COLD,     MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
                                 MADV_DODUMP,   MADV_DOFORK,  MADV_FREE,          MADV_MERGEABLE};
    uint64_t first = page();
    size_t size = (1 + below(40)) * PAGE;
    void *address = (void *)AT(first);

    switch (below(8)) {
    case 0:
    case 1:
        count(mmap(below(16) ? address : (void *)odd_number(), size, (int)below(8),
                   (below(8) ? MAP_SHARED : MAP_PRIVATE) | (below(8) ? MAP_FIXED : MAP_FIXED_NOREPLACE), descriptor(),
                   (off_t)(below(8) ? first * PAGE : odd_number() & ~0xfffULL)) == MAP_FAILED
                  ? -1
                  : 0);
        break;
    case 2:
        munmap(address, size);
        break;
    case 3:
        mprotect(address, size, (int)below(8));
        break;
    case 4:
        mremap(address, size, (1 + below(40)) * PAGE, (int)below(4) | MREMAP_MAYMOVE, AT(page()));
        break;
    case 5:
        madvise(address, size, advice[below(12)]);
        break;
    case 6:
        if (below(2))
            mlock(address, size);
        else
            munlock(address, size);
        break;
    default:
        if (below(2))
            peek(AT(page()), NULL);
        else
            poke(AT(page()), random_number());
    }
}

static void step_file(void)
{
    int fd = descriptor();
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    switch (below(9)) {
    case 0:
        fcntl(fd, F_SETFL, O_NONBLOCK);
        count(read(fd, below(4) ? (void *)scratch : (void *)odd_number(), below(200)));
        break;
    case 1:
        count(write(fd, scratch, 8));
        break;
    case 2:
        count(fallocate(fd, (int)(below(4) ? 3 : below(64)), (off_t)(below(4) ? page() * PAGE : odd_number()),
                        (off_t)(below(4) ? below(64) * PAGE : odd_number())));
        break;
    case 3:
        count(ftruncate(fd, (off_t)odd_number()));
        break;
    case 4:
        lseek(fd, (off_t)odd_number(), SEEK_SET);
        break;
    case 5:
        poll(&poll_fd, 1, 0);
        break;
    case 6:
        fchmod(fd, 0777);
        break;
    case 7:
        fsync(fd);
        break;
    default:
        count(revoke_lease(fd, below(200)));
    }
}

static int child_touches(void *unused)
{
    (void)unused;
    return peek(AT(page()), NULL) + poke(AT(page()), 1);
}

static void start_over(void)
{
    unsigned int i;

    for (i = 0; i < descriptor_count; i++)
        close(descriptors[i]);
    munmap((void *)BASE, (ENCLAVE_PAGES + 64) * PAGE);
    descriptor_count = 0;
    /* Where allocations are made to fail, building is, too, now and then */
    while (!descriptor_count)
        keep(enclave_build(NULL));
    keep(open("/dev/teemate", O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

int fuzz(unsigned int steps, unsigned int seed, int failing)
{
    static struct enclave_file file;
    unsigned int i;

    state = seed * 2654435761u + 1;
    edge = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + PAGE, PAGE);
    check(enclave_file_open(&file, STANDARD_ENCLAVE) == 0, "open");
    close(enclave_build(NULL)); /* opens the enclave's file for all later ones */
    if (failing)
        set_failing("1");
    for (i = 0; i < steps; i++) {
        if (i % 400 == 0)
            start_over();
        switch (below(12)) {
        case 0:
        case 1:
            step_raw_ioctl();
            break;
        case 2:
            step_add();
            break;
        case 3:
        case 4:
            step_lease();
            break;
        case 5:
            step_file();
            break;
        case 6:
            if (below(8))
                count(enclave_create(descriptor(), &file));
            else
                keep(open("/dev/teemate", O_RDWR | O_CLOEXEC | O_NONBLOCK));
            break;
        case 7:
            if (!below(16))
                in_child(child_touches, NULL);
            else if (!below(8))
                count(enclave_init(descriptor(), &file));
            break;
        default:
            step_memory();
        }
    }
    if (failing)
        set_failing("0");
    check(succeeded > steps / 50 && refused > steps / 50, "%u steps: %lu calls succeeded, %lu were refused", steps,
          succeeded, refused);
    return check_failures != 0;
}
