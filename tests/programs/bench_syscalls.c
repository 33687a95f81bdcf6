/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds of one operation each, as a line "NAME NS". The shortest of several batches is taken. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 15
static char page[4096];
static int file, ends[2];
static const char *program;

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void do_getpid(void)
{
    (void)syscall(SYS_getpid);
}
static void do_getppid(void)
{
    (void)getppid();
}
static void do_clock(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
}
static void do_pread(void)
{
    (void)!pread(file, page, sizeof(page), 0);
}
static void do_open_close(void)
{
    close(open(program, O_RDONLY));
}
static void do_pipe(void)
{
    (void)!write(ends[1], page, 1);
    (void)!read(ends[0], page, 1);
}
static void do_mmap(void)
{
    char *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory[0] = 1;
    munmap(memory, 65536);
}

static void measure(const char *name, void (*operation)(void), int count)
{
    double best = 1e18;
    for (int i = 0; i < count / 10 + 1; i++)
        operation();
    for (int batch = 0; batch < BATCHES; batch++) {
        long long begin = now();
        for (int i = 0; i < count; i++)
            operation();
        double each = (double)(now() - begin) / count;
        if (each < best)
            best = each;
    }
    printf("%s %.1f\n", name, best);
}

int main(int argc, char **argv)
{
    (void)argc;
    program = argv[0];
    file = open(argv[0], O_RDONLY);
    if (file < 0 || pipe(ends))
        return 1;
    measure("getpid", do_getpid, 20000);
    measure("getppid", do_getppid, 5000);
    measure("clock_gettime", do_clock, 5000);
    measure("pread 4 KiB", do_pread, 5000);
    measure("open + close", do_open_close, 2000);
    measure("pipe write + read 1 B", do_pipe, 3000);
    measure("mmap + touch + munmap 64 KiB", do_mmap, 1000);
    return 0;
}
