/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: anonymous, private and shared file mappings, protection, remapping, brk, huge requests. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
static int failed;
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno);                                           \
            failed = 1;                                                                                                \
        }                                                                                                              \
    } while (0)

static sigjmp_buf landing;
static void on_fault(int number)
{
    siglongjmp(landing, number);
}

static int faults(volatile char *address, int writing)
{
    int number = sigsetjmp(landing, 1);
    if (!number) {
        if (writing)
            *address = 1;
        else
            (void)*address;
    }
    return number;
}

static void anonymous(void)
{
    size_t size = 64 * PAGE;
    char *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(a != MAP_FAILED);
    for (size_t i = 0; i < size; i++)
        EXPECT(a[i] == 0);
    memset(a, 7, size);
    EXPECT(munmap(a + 16 * PAGE, 8 * PAGE) == 0);
    EXPECT(faults(a + 20 * PAGE, 0) == SIGSEGV);
    EXPECT(a[15 * PAGE] == 7 && a[24 * PAGE] == 7);
    char *hole = mmap(a + 16 * PAGE, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    EXPECT(hole == a + 16 * PAGE && hole[0] == 0 && hole[8 * PAGE - 1] == 0);
    EXPECT(mprotect(a, PAGE, PROT_READ) == 0 && faults(a, 1) == SIGSEGV && a[0] == 7);
    EXPECT(mprotect(a, PAGE, PROT_READ | PROT_WRITE) == 0 && faults(a, 1) == 0);
    EXPECT(madvise(a, 2 * PAGE, MADV_DONTNEED) == 0 && a[0] == 0 && a[PAGE] == 0 && a[2 * PAGE] == 7);
    char *grown = mremap(a, size, 4 * size, MREMAP_MAYMOVE);
    EXPECT(grown != MAP_FAILED && grown[2 * PAGE] == 7 && grown[4 * size - 1] == 0);
    EXPECT(mremap(grown, 4 * size, size, 0) == grown && faults(grown + 2 * size, 0) == SIGSEGV);
    EXPECT(munmap(grown, size) == 0);
    EXPECT(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    EXPECT(mmap(NULL, 1UL << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
    EXPECT(munmap((void *)(PAGE + 1), PAGE) == -1 && errno == EINVAL);
}

static void executable(void)
{
    /* mov eax, 42; ret */
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof(code));
    EXPECT(mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0);
    int (*function)(void) = (int (*)(void))(uintptr_t)page;
    EXPECT(function() == 42);
    munmap(page, PAGE);
}

static void of_files(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT(fd >= 0 && ftruncate(fd, 3 * (off_t)PAGE + 100) == 0);
    EXPECT(pwrite(fd, "first", 5, 0) == 5 && pwrite(fd, "second", 6, PAGE) == 6);
    char *copy = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    EXPECT(copy != MAP_FAILED && !memcmp(copy, "first", 5) && !memcmp(copy + PAGE, "second", 6));
    EXPECT(copy[3 * PAGE + 200] == 0);
    copy[0] = 'F';
    char text[8];
    EXPECT(pread(fd, text, 5, 0) == 5 && text[0] == 'f');
    char *shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
    EXPECT(shared != MAP_FAILED && !memcmp(shared, "second", 6));
    memcpy(shared, "SECOND", 6);
    EXPECT(msync(shared, PAGE, MS_SYNC) == 0);
    EXPECT(pread(fd, text, 6, PAGE) == 6 && !memcmp(text, "SECOND", 6));
    EXPECT(pwrite(fd, "third", 5, 2 * PAGE) == 5 && !memcmp(shared + PAGE, "third", 5));
    EXPECT(munmap(shared, 2 * PAGE) == 0 && munmap(copy, 4 * PAGE) == 0);
    EXPECT(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED && errno == EBADF);
    close(fd);
    unlink(path);
}

static void heap(void)
{
#ifdef __GLIBC__ /* musl keeps brk to itself */
    char *start = sbrk(0);
    EXPECT(sbrk(1 << 20) == start);
    memset(start, 3, 1 << 20);
    EXPECT(sbrk(-(1 << 19)) == start + (1 << 20) && sbrk(0) == start + (1 << 19));
    EXPECT(brk(start) == 0);
#endif
    unsigned seed = 1;
    static char *blocks[512];
    static size_t sizes[512];
    for (int round = 0; round < 20000; round++) {
        seed = seed * 1103515245 + 12345;
        unsigned slot = (seed >> 8) % 512;
        if (blocks[slot]) {
            EXPECT(blocks[slot][0] == (char)slot && blocks[slot][sizes[slot] - 1] == (char)slot);
            free(blocks[slot]);
            blocks[slot] = NULL;
        } else {
            sizes[slot] = 1 + (seed >> 4) % ((seed & 15) ? 3000 : 200000);
            blocks[slot] = malloc(sizes[slot]);
            EXPECT(blocks[slot] != NULL);
            memset(blocks[slot], (char)slot, sizes[slot]);
        }
    }
}

int main(int argc, char **argv)
{
    signal(SIGSEGV, on_fault);
    anonymous();
    executable();
    of_files(argc > 1 ? argv[1] : "/tmp/mappings-test");
    heap();
    printf(failed ? "mappings: failed\n" : "mappings: good\n");
    return failed;
}
