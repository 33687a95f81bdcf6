/* SPDX-License-Identifier: Apache-2.0 */
/* What must survive a system call or a signal: flags, rounding mode, vector registers; and what CPUID says. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <fenv.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t seen;

static void install(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(number, &action, NULL);
}

static void count(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    seen++;
}

static void clobber(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    volatile double x = 1.5;
    for (int i = 0; i < 50; i++)
        x = x * 1.000001 + 0.5;
    __asm__ volatile(
        "vpcmpeqd %%ymm0, %%ymm0, %%ymm0; vpcmpeqd %%ymm7, %%ymm7, %%ymm7; vpcmpeqd %%ymm15, %%ymm15, %%ymm15" ::
            : "xmm0", "xmm7", "xmm15");
    seen++;
}

static int case_float(void)
{
    install(SIGALRM, clobber, SA_RESTART);
    struct itimerval timer = {.it_interval = {.tv_usec = 300}, .it_value = {.tv_usec = 300}};
    setitimer(ITIMER_REAL, &timer, NULL);
    int wrong = 0;
    for (int round = 0; round < 300 || seen < 50; round++) {
        float sum[16] = {0};
        long double slow = 0;
        for (int i = 1; i <= 2000; i++) {
            for (int lane = 0; lane < 16; lane++)
                sum[lane] += (float)(i % 7 + lane);
            slow += 1.0L / i;
        }
        for (int lane = 0; lane < 16; lane++)
            wrong += sum[lane] != sum[0] + 2000.0f * (float)lane;
        wrong += slow < 8.178L || slow > 8.179L;
    }
    timer = (struct itimerval){0};
    setitimer(ITIMER_REAL, &timer, NULL);
    printf("wrong %d interrupted %d\n", wrong, seen >= 50);
    return 0;
}

static int case_cpuid(void)
{
    unsigned a, b, c, d;
    uint64_t flags;
    __cpuid(0, a, b, c, d);
    printf("%.4s%.4s%.4s\n", (char *)&b, (char *)&d, (char *)&c);
    unsigned vendor = b;
    __asm__ volatile("stc; mov $1, %%eax; xor %%ecx, %%ecx; stc; cpuid; pushfq; pop %0"
                     : "=r"(flags)::"eax", "ebx", "ecx", "edx");
    printf("carry kept %d\n", (int)(flags & 1));
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    __cpuid_count(0xd, 0, a, b, c, d);
    printf("XCR0 has what CPUID says %d\n", (low & a) == a);

    /* One site again and again, as in a loop over the caches */
    int wrong = 0;
    for (uint64_t round = 0; round < 50; round++) {
        uint64_t before, after, r10, r11;
        __asm__ volatile("mov %[round], %%r10; mov %[round], %%r11; cmp $7, %[round]; pushfq; pop %[before]\n"
                         "mov $0, %%eax; cpuid; pushfq; pop %[after]; mov %%r10, %[r10]; mov %%r11, %[r11]"
                         : [before] "=&r"(before), [after] "=&r"(after), [r10] "=&r"(r10), [r11] "=&r"(r11), "=&b"(b)
                         : [round] "r"(round)
                         : "rax", "rcx", "rdx", "r10", "r11", "cc", "memory");
        wrong += before != after || r10 != round || r11 != round || b != vendor;
    }
    printf("wrong after many %d\n", wrong);
    return 0;
}

static int case_flags(void)
{
    uint64_t wrong = 0;
    for (uint64_t want = 0; want < 64; want++) {
        uint64_t flags = (want & 1) | (want & 2 ? 4 : 0) | (want & 4 ? 0x10 : 0) | (want & 8 ? 0x40 : 0) |
                         (want & 16 ? 0x80 : 0) | (want & 32 ? 0x800 : 0),
                 got;
        for (int direction = 0; direction < 2; direction++) {
            uint64_t wanted = flags | (direction ? 0x400 : 0), r11;
            __asm__ volatile("push %2; popfq; mov $39, %%eax; syscall; pushfq; pop %0; cld; mov %%r11, %1"
                             : "=r"(got), "=&r"(r11)
                             : "r"(wanted)
                             : "rax", "rcx", "r11", "memory", "cc");
            wrong += ((got ^ wanted) & 0xcd5) != 0;
            wrong += ((r11 ^ wanted) & 0xcd5) != 0;
        }
    }
    printf("flags wrong %lu\n", wrong);
    return 0;
}

static int case_rounding(void)
{
    fesetround(FE_UPWARD);
    for (int i = 0; i < 100; i++)
        getppid();
    install(SIGUSR1, count, 0);
    raise(SIGUSR1);
    printf("still upward %d\n", fegetround() == FE_UPWARD);
    return 0;
}

/* Every vector register, a mask register, the x87 stack and the control words, each time with other values. */
#define VECTOR_SIZE 64
static int case_vectors(void)
{
    static unsigned char set[32][VECTOR_SIZE], got[32][VECTOR_SIZE];
    int wide = __builtin_cpu_supports("avx512bw"), wrong = 0;
    for (int round = 0; round < 40; round++) {
        int use_x87 = round & 1, use_vectors = round & 2;
        for (unsigned i = 0; i < sizeof(set); i++)
            set[i / VECTOR_SIZE][i % VECTOR_SIZE] = (unsigned char)(round * 7 + i * 13 + i / VECTOR_SIZE);
        long double sum = 0.1L * round, sum_after = sum;
        uint64_t mask = 0x123456789abcdef0UL + (unsigned)round, mask_after = mask;
        uint32_t control = 0x1f80 | (round & 4 ? 0x6000 : 0), control_after;
        __asm__ volatile("ldmxcsr %0" ::"m"(control));
        if (use_x87)
            __asm__ volatile("fldt %0" ::"m"(sum));
        if (use_vectors && wide) {
#define LOAD(n) "vmovdqu64 " #n "*64(%1), %%zmm" #n "\n"
#define STORE(n) "vmovdqu64 %%zmm" #n ", " #n "*64(%2)\n"
#define EACH(what)                                                                                                     \
    what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10) what(11) what(12)         \
        what(13) what(14) what(15) what(16) what(17) what(18) what(19) what(20) what(21) what(22) what(23) what(24)    \
            what(25) what(26) what(27) what(28) what(29) what(30) what(31)
            __asm__ volatile(EACH(LOAD) "kmovq %3, %%k5\n mov $110, %%eax\n syscall\n" EACH(STORE) "kmovq %%k5, %0"
                             : "=&r"(mask_after)
                             : "r"(set), "r"(got), "r"(mask)
                             : "rax", "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                               "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
            wrong += memcmp(set, got, sizeof(set)) != 0 || mask != mask_after;
        } else if (use_vectors) {
            __asm__ volatile("movdqu (%0), %%xmm0; movdqu 64(%0), %%xmm15; mov $110, %%eax; syscall\n"
                             "movdqu %%xmm0, (%1); movdqu %%xmm15, 64(%1)" ::"r"(set),
                             "r"(got)
                             : "rax", "rcx", "r11", "xmm0", "xmm15", "memory");
            wrong += memcmp(set, got, 16) != 0 || memcmp(set[1], got[1], 16) != 0;
        } else {
            getppid();
        }
        if (use_x87)
            __asm__ volatile("fstpt %0" : "=m"(sum_after));
        __asm__ volatile("stmxcsr %0" : "=m"(control_after));
        wrong += sum != sum_after || (control & ~0x3fu) != (control_after & ~0x3fu);
    }
    printf("vectors wrong %d\n", wrong);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} cases[] = {
    {"float", case_float},       {"cpuid", case_cpuid},     {"flags", case_flags},
    {"rounding", case_rounding}, {"vectors", case_vectors},
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++)
        if (!strcmp(argv[1], cases[i].name))
            return cases[i].run();
    fprintf(stderr, "%s: no such case\n", argv[0]);
    return 2;
}
