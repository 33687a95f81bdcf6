// SPDX-License-Identifier: Apache-2.0
/* Every way that Linux has of getting at another process's memory, or of stretching one's own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "container.h"
#include "enclave.h"
#include "tests.h"

#define SECRET 0x5ec4e7c0ffee5ec4ULL
#define PRIVATE TEEMATE_RANGE_PRIVATE

static const struct range_spec ranges[] = {{0, 4, 0, RX}, {16, 16, PRIVATE, RW}, {0}};
static const uint64_t tcs[] = {8, 0};

/* By root, from outside */
static void test_foreign(int enclave)
{
    struct container victim = container_start(lease(enclave, ranges, tcs, NULL), NULL);
    uint64_t value = 0;
    struct iovec local = {&value, sizeof(value)}, remote = {(void *)AT(16), sizeof(value)};
    char path[128];
    int fd;

    check(!container_map(&victim, 16, 16, RW) && !container_poke(&victim, 16, SECRET), "a secret");
    snprintf(path, sizeof(path), "/proc/%d/mem", victim.process);
    fd = open(path, O_RDWR | O_CLOEXEC);
    check(fd >= 0 && pread(fd, &value, 8, (off_t)AT(16)) < 0, "/proc/PID/mem cannot read it (%s)", strerror(errno));
    check(pwrite(fd, &value, 8, (off_t)AT(16)) < 0, "nor overwrite it");
    close(fd);
    check(process_vm_readv(victim.process, &local, 1, &remote, 1, 0) < 0, "process_vm_readv cannot read it");
    check(process_vm_writev(victim.process, &local, 1, &remote, 1, 0) < 0, "process_vm_writev cannot overwrite it");
    check(!ptrace(PTRACE_ATTACH, victim.process, 0, 0) && waitpid(victim.process, NULL, __WALL) == victim.process,
          "a debugger attaches");
    errno = 0;
    check(ptrace(PTRACE_PEEKDATA, victim.process, AT(16), 0) == -1 && errno, "PTRACE_PEEKDATA cannot read it");
    check(ptrace(PTRACE_POKEDATA, victim.process, AT(16), 1) == -1, "PTRACE_POKEDATA cannot overwrite it");
    ptrace(PTRACE_DETACH, victim.process, 0, 0);
    snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", victim.process, AT(16), AT(32));
    check(open(path, O_RDWR | O_CLOEXEC) < 0 && errno != ENOENT, "/proc/PID/map_files cannot open it (%s)",
          strerror(errno));
    snprintf(path, sizeof(path), "/proc/%d/fd/4", victim.process);
    check(open(path, O_RDWR | O_CLOEXEC) < 0 && errno != ENOENT, "/proc/PID/fd cannot open the lease anew (%s)",
          strerror(errno));
    check(!container_peek(&victim, 16) && victim.value == SECRET, "the secret is unharmed");
    container_kill(&victim);
}

static int fork_sees_it(void *unused)
{
    (void)unused;
    return peek(AT(16), NULL);
}

static void test_remap(int fd)
{
    void *here = (void *)AT(16);

    check(mremap(here, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT(40)) == MAP_FAILED, "mremap to a free place");
    check(mremap(here, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, BASE - 64 * PAGE) == MAP_FAILED, "out of ELRANGE");
    check(mremap(here, 16 * PAGE, 20 * PAGE, 0) == MAP_FAILED, "mremap to grow in place");
    check(mremap(here, 16 * PAGE, 20 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED, "mremap to grow elsewhere");
    check(mremap(here, 0, PAGE, MREMAP_MAYMOVE) == MAP_FAILED, "mremap to double");
    check(mremap(here, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED, "mremap without unmapping");
    check(syscall(SYS_remap_file_pages, here, PAGE, 0, 20, 0) < 0, "remap_file_pages");
    check(map(fd, 16, 16, PROT_READ) == -EEXIST, "a mapping over it");
}

static void test_advice(void)
{
    static const struct {
        int advice;
        const char *name;
    } refused[] = {
        {MADV_DOFORK, "MADV_DOFORK"},   {MADV_DODUMP, "MADV_DODUMP"}, {MADV_POPULATE_READ, "MADV_POPULATE_READ"},
        {MADV_PAGEOUT, "MADV_PAGEOUT"}, {MADV_FREE, "MADV_FREE"},
    };
    unsigned int i;

    for (i = 0; i < sizeof(refused) / sizeof(*refused); i++)
        check(madvise((void *)AT(16), PAGE, refused[i].advice) < 0, "%s is refused", refused[i].name);
    madvise((void *)AT(16), 16 * PAGE, MADV_MERGEABLE);
    mlock((void *)AT(16), PAGE);
    madvise((void *)AT(16), PAGE, MADV_DONTNEED);
}

/* The kernel itself must not be made to hold on to the pages */
static void test_pinning(void)
{
    struct iovec vector = {(void *)AT(16), PAGE};
    int pipes[2];

    check(!pipe(pipes) && vmsplice(pipes[1], &vector, 1, SPLICE_F_GIFT) < 0, "vmsplice cannot take it");
    check(write(pipes[1], (void *)AT(16), 8) == 8, "an ordinary write can copy it");
    check(syscall(SYS_futex, AT(16), FUTEX_WAKE_PRIVATE, 1, 0, 0, 0) == 0, "a private futex works");
    close(pipes[0]);
    close(pipes[1]);
}

/* Words that no other memory of the process holds in a row */
static uint64_t secret_word(uint64_t index)
{
    return (index + 1) * 0x9e3779b97f4a7c15ULL;
}

static int dump_core(void *unused)
{
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    int enclave = enclave_build(NULL), fd = lease(enclave, ranges, tcs, NULL);
    uint64_t index;

    (void)unused;
    setrlimit(RLIMIT_CORE, &unlimited);
    if (map(fd, 16, 16, RW))
        return 1;
    for (index = 0; index < 64; index++)
        if (poke(AT(16) + index * 8, secret_word(index)))
            return 1;
    signal(SIGABRT, SIG_DFL);
    kill(getpid(), SIGABRT);
    return 2;
}

static void test_core_dump(void)
{
    static unsigned char window[65536];
    uint64_t words[4];
    long size = 0, found = 0;
    ssize_t length;
    int fd, i;

    write_text("/proc/sys/kernel/core_pattern", "/tmp/core");
    check(in_child(dump_core, NULL) == 128 + SIGABRT, "a process dies and leaves a core dump");
    for (i = 0; i < 4; i++)
        words[i] = secret_word(8 + (uint64_t)i);
    fd = open("/tmp/core", O_RDONLY | O_CLOEXEC);
    while ((length = read(fd, window, sizeof(window))) > 0) {
        size += length;
        found += memmem(window, (size_t)length, words, sizeof(words)) != NULL;
    }
    check(size > 0 && !found, "the core dump (%ld bytes) does not hold the secret", size);
    close(fd);
    unlink("/tmp/core");
}

static int exec_by_personality(void *argument)
{
    personality(PER_LINUX | READ_IMPLIES_EXEC);
    return map(*(int *)argument, 16, 16, PROT_READ) == -EACCES ? 0 : 1;
}

int isolation_test(void)
{
    int enclave = enclave_build(NULL), fd;
    uint64_t value = 0;

    test_foreign(enclave);
    fd = lease(enclave, ranges, tcs, NULL);
    check(!map(fd, 16, 16, RW) && !poke(AT(16), SECRET), "map");
    check(in_child(fork_sees_it, NULL) == SIGSEGV, "a forked child has no part in it");
    check(in_child(exec_by_personality, &fd) == 0, "READ_IMPLIES_EXEC is refused");
    test_remap(fd);
    test_advice();
    test_pinning();
    check(!peek(AT(16), &value) && value == SECRET, "after all this the secret is where it was");
    munmap((void *)BASE, ENCLAVE_PAGES * PAGE);
    close(fd);
    close(enclave);
    test_core_dump();
    return check_failures != 0;
}
