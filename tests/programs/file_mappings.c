/* SPDX-License-Identifier: Apache-2.0 */
/* Large private file mappings, whose pages may come when they are touched: by whom, how, and what is beyond the end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096UL
#define PAGES 1024UL
#define SIZE (PAGES * PAGE)
#define THREADS 8
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

/* Every word of the file holds its own offset. */
static int make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint64_t *words = malloc(SIZE);
    for (size_t i = 0; i < SIZE / 8; i++)
        words[i] = i * 8;
    EXPECT(fd >= 0 && write(fd, words, SIZE) == (ssize_t)SIZE);
    free(words);
    return fd;
}

static char *map(int fd, int prot)
{
    char *at = mmap(NULL, SIZE, prot, MAP_PRIVATE, fd, 0);
    EXPECT(at != MAP_FAILED);
    return at;
}

static uint64_t word(const char *mapping, size_t page)
{
    return *(volatile uint64_t *)(mapping + page * PAGE);
}

static void after_close(const char *path)
{
    int fd = open(path, O_RDONLY);
    char *at = map(fd, PROT_READ);
    close(fd);
    for (size_t page = PAGES; page-- > 0;)
        EXPECT(word(at, page) == page * PAGE);
    EXPECT(munmap(at, SIZE) == 0 && faults(at + 5 * PAGE, 0) == SIGSEGV);
}

static void private_writes(int fd)
{
    char *at = map(fd, PROT_READ | PROT_WRITE);
    at[100 * PAGE] = 77;
    EXPECT(at[100 * PAGE] == 77 && word(at, 101) == 101 * PAGE && word(at, 99) == 99 * PAGE);
    char byte = 0;
    EXPECT(pread(fd, &byte, 1, 100 * PAGE) == 1 && byte == 0);
    EXPECT(madvise(at, SIZE, MADV_DONTNEED) == 0 && word(at, 100) == 100 * PAGE && word(at, 3) == 3 * PAGE);
    munmap(at, SIZE);
}

/* The permissions change before, between and after the pages come. */
static void permissions(int fd)
{
    char *at = map(fd, PROT_READ);
    EXPECT(word(at, 40) == 40 * PAGE);
    EXPECT(faults(at + 40 * PAGE, 1) == SIGSEGV && faults(at + 300 * PAGE, 1) == SIGSEGV);
    EXPECT(mprotect(at + 32 * PAGE, 600 * PAGE, PROT_READ | PROT_WRITE) == 0);
    EXPECT(faults(at + 40 * PAGE, 1) == 0 && faults(at + 300 * PAGE, 1) == 0);
    EXPECT(word(at, 301) == 301 * PAGE && at[300 * PAGE] == 1 && at[300 * PAGE + 9] == (char)((300 * PAGE + 8) >> 8));
    EXPECT(mprotect(at, SIZE, PROT_NONE) == 0);
    EXPECT(faults(at + 40 * PAGE, 0) == SIGSEGV && faults(at + 700 * PAGE, 0) == SIGSEGV);
    EXPECT(mprotect(at, SIZE, PROT_READ) == 0);
    EXPECT(at[40 * PAGE] == 1 && word(at, 700) == 700 * PAGE && word(at, 41) == 41 * PAGE);
    munmap(at, SIZE);
}

static void parts(int fd)
{
    char *at = map(fd, PROT_READ | PROT_WRITE);
    EXPECT(munmap(at + 200 * PAGE, 100 * PAGE) == 0 && faults(at + 250 * PAGE, 0) == SIGSEGV);
    EXPECT(word(at, 199) == 199 * PAGE && word(at, 300) == 300 * PAGE);
    char *zeros =
        mmap(at + 200 * PAGE, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    EXPECT(zeros == at + 200 * PAGE && word(at, 200) == 0 && word(at, 299) == 0);
    char *other = mmap(at + 240 * PAGE, 40 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 512 * PAGE);
    EXPECT(other == at + 240 * PAGE && word(at, 241) == 513 * PAGE && word(at, 239) == 0);
    char *moved = mremap(at, 100 * PAGE, 100 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 600 * PAGE);
    EXPECT(moved == at + 600 * PAGE && word(moved, 99) == 99 * PAGE && faults(at, 0) == SIGSEGV);
    munmap(at, SIZE);
}

/* System calls meet pages that nobody has touched. */
static void system_calls(int fd)
{
    int out[2];
    char text[32];
    char *at = map(fd, PROT_READ | PROT_WRITE);
    EXPECT(pipe(out) == 0);
    EXPECT(write(out[1], at + 150 * PAGE - 8, 16) == 16 && read(out[0], text, 16) == 16);
    EXPECT(*(uint64_t *)(text + 8) == 150 * PAGE);
    struct iovec parts[2] = {{at + 400 * PAGE, 8}, {at + 500 * PAGE, 8}};
    EXPECT(writev(out[1], parts, 2) == 16 && read(out[0], at + 800 * PAGE, 16) == 16);
    EXPECT(word(at, 800) == 400 * PAGE && *(uint64_t *)(at + 800 * PAGE + 8) == 500 * PAGE);
    EXPECT(read(fd, text, 0) == 0 && open(at + 900 * PAGE, O_RDONLY) == -1 && errno == ENOENT);
    munmap(at, SIZE);
    EXPECT(write(out[1], at + 150 * PAGE, 8) == -1 && errno == EFAULT);
    close(out[0]);
    close(out[1]);
}

static void beyond_the_end(const char *path)
{
    int fd = open(path, O_RDONLY);
    char *at = mmap(NULL, 2 * SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    EXPECT(at != MAP_FAILED && word(at, PAGES - 1) == (PAGES - 1) * PAGE);
    EXPECT(faults(at + SIZE, 0) == SIGBUS && faults(at + SIZE + 500 * PAGE, 0) == SIGBUS);
    EXPECT(munmap(at, 2 * SIZE) == 0);
    close(fd);
}

static pthread_barrier_t barrier;

static void *read_all(void *mapping)
{
    uintptr_t wrong = 0;
    pthread_barrier_wait(&barrier);
    for (size_t page = 0; page < PAGES; page++)
        wrong += word(mapping, page) != page * PAGE;
    return (void *)wrong;
}

/* All threads run through the same untouched pages at once: none may see one that is not complete. */
static void many_threads(int fd)
{
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int round = 0; round < 10; round++) {
        pthread_t threads[THREADS];
        char *at = map(fd, PROT_READ);
        for (int i = 0; i < THREADS; i++)
            EXPECT(pthread_create(&threads[i], NULL, read_all, at) == 0);
        for (int i = 0; i < THREADS; i++) {
            void *wrong;
            pthread_join(threads[i], &wrong);
            EXPECT(wrong == NULL);
        }
        munmap(at, SIZE);
    }
}

int main(void)
{
    char path[] = "/tmp/file_mappings.XXXXXX";
    close(mkstemp(path));
    struct sigaction action = {.sa_handler = on_fault};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    int fd = make_file(path);
    after_close(path);
    private_writes(fd);
    permissions(fd);
    parts(fd);
    system_calls(fd);
    beyond_the_end(path);
    many_threads(fd);
    close(fd);
    unlink(path);
    printf(failed ? "file_mappings: failed\n" : "file_mappings: good\n");
    return failed;
}
