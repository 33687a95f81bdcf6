/* SPDX-License-Identifier: Apache-2.0 */
/* What a process can learn about itself: /proc, identity, limits, names, random bytes, times. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) show(#call, (long)(call))

static void show(const char *what, long result)
{
    printf("%s = %ld", what, result);
    printf(result < 0 ? " errno %d\n" : "\n", errno);
}

static long slurp(const char *path, char *to, long capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    long size = 0, part;

    while (fd >= 0 && (part = read(fd, to + size, capacity - size)) > 0)
        size += part;
    close(fd);
    return fd < 0 ? -1 : size;
}

static void own_files(char **argv)
{
    static char content[1 << 20];
    char path[PATH_MAX], line[64];
    struct stat by_link, by_path;

    long size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[size > 0 ? size : 0] = 0;
    printf("exe ends with own name: %d\n", !strcmp(strrchr(path, '/') + 1, strrchr(argv[0], '/') + 1));
    SHOW(stat("/proc/self/exe", &by_link));
    SHOW(stat(argv[0], &by_path));
    printf("same file: %d\n", by_link.st_ino == by_path.st_ino && by_link.st_dev == by_path.st_dev);
    SHOW(readlink("/proc/self/exe", path, 3));
    size = slurp("/proc/self/cmdline", content, sizeof(content));
    long expected = 0;
    for (char **argument = argv; *argument; argument++)
        expected += strlen(*argument) + 1;
    printf("cmdline %d\n", size == expected && !strcmp(content, argv[0]));
    size = slurp("/proc/self/environ", content, sizeof(content) - 1);
    content[size > 0 ? size : 0] = 0;
    printf("environ %d\n", environ[0] ? !strcmp(content, environ[0]) : size == 0);
    size = slurp("/proc/self/auxv", content, sizeof(content));
    unsigned long *pair = (unsigned long *)content, random = 0;
    for (; pair[0]; pair += 2)
        if (pair[0] == AT_RANDOM)
            random = pair[1];
    printf("auxv %d\n", random == getauxval(AT_RANDOM));
    size = slurp("/proc/self/maps", content, sizeof(content) - 1);
    content[size > 0 ? size : 0] = 0;
    int code = 0, stack = 0;
    for (char *at = strtok(content, "\n"); at; at = strtok(0, "\n")) {
        unsigned long start, end;
        char permissions[5];
        if (sscanf(at, "%lx-%lx %4s", &start, &end, permissions) != 3)
            printf("cannot read: %s\n", at);
        if ((unsigned long)own_files >= start && (unsigned long)own_files < end)
            code = permissions[2] == 'x';
        if ((unsigned long)&stack >= start && (unsigned long)&stack < end)
            stack = !!strstr(at, "[stack]");
    }
    printf("maps: code %d stack %d\n", code, stack);
    snprintf(line, sizeof(line), "/proc/%d/exe", (int)getpid());
    SHOW(open(line, O_RDONLY) >= 0);
    SHOW(slurp("/proc/self/status", content, sizeof(content)) > 0);
    SHOW(slurp("/proc/self/comm", content, sizeof(content)));
    printf("%.7s\n", content);
}

static void own_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");

    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            count += atoi(entry->d_name) > 100;
    printf("descriptors above 100: %d\n", count);
    closedir(directory);
    int closed = 0;
    for (int fd = 0; fd < 1 << 20; fd++)
        if (fd > 100 && !close(fd))
            closed++;
    printf("closed above 100: %d\n", closed);
    SHOW(syscall(SYS_close_range, 101, ~0U, 0));
    SHOW(fcntl(1000, F_GETFD));
}

static void identity(void)
{
    char name[17] = {0};
    struct utsname system;
    gid_t groups[64];
    uid_t real, effective, saved;

    SHOW(getpid() == syscall(SYS_gettid));
    SHOW(getppid() > 0);
    SHOW(getpgrp() > 0 && getsid(0) > 0);
    SHOW(getresuid(&real, &effective, &saved));
    printf("%d %d %d\n", real, effective, saved);
    SHOW(getgroups(0, groups) == getgroups(64, groups));
    SHOW(setuid(getuid()));
    SHOW(prctl(PR_SET_NAME, "a name that is too long"));
    SHOW(prctl(PR_GET_NAME, name));
    printf("%s\n", name);
    SHOW(prctl(PR_SET_PDEATHSIG, 0));
    SHOW(prctl(PR_GET_DUMPABLE));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(12345, 0, 0, 0, 0));
    SHOW(uname(&system));
    printf("%s %s\n", system.sysname, system.machine);
    uint32_t header[2] = {0x20080522, 0}, data[6] = {0};
    SHOW(syscall(SYS_capget, header, data));
    header[0] = 1;
    SHOW(syscall(SYS_capget, header, 0));
    printf("version %x\n", header[0]);
    SHOW(syscall(SYS_capget, header, data));
}

static void limits(void)
{
    struct rlimit limit, old;
    struct rusage usage;
    struct sysinfo info;
    cpu_set_t cpus;

    SHOW(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 512;
    SHOW(prlimit(0, RLIMIT_NOFILE, &limit, &old));
    SHOW(getrlimit(RLIMIT_NOFILE, &limit));
    printf("%ld\n", (long)limit.rlim_cur);
    SHOW(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
    SHOW(getrlimit(99, &limit));
    SHOW(getrusage(RUSAGE_SELF, &usage));
    SHOW(getrusage(77, &usage));
    SHOW(sysinfo(&info));
    printf("%d\n", info.totalram > 0);
    CPU_ZERO(&cpus);
    SHOW(sched_getaffinity(0, sizeof(cpus), &cpus));
    SHOW(CPU_COUNT(&cpus) == sysconf(_SC_NPROCESSORS_ONLN));
    SHOW(sched_setaffinity(0, sizeof(cpus), &cpus));
    SHOW(sched_getscheduler(0));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(syscall(SYS_getcpu, (unsigned *)&cpus, 0, 0));
}

static void randomness(void)
{
    static unsigned char bytes[1 << 16];
    int seen[256] = {0}, kinds = 0;

    SHOW(syscall(SYS_getrandom, bytes, sizeof(bytes), 0));
    for (unsigned i = 0; i < sizeof(bytes); i++)
        seen[bytes[i]]++;
    for (int i = 0; i < 256; i++)
        kinds += seen[i] > 150 && seen[i] < 400;
    printf("kinds %d\n", kinds);
    SHOW(syscall(SYS_getrandom, bytes, 16, 2));
    SHOW(syscall(SYS_getrandom, bytes, 16, 99));
    SHOW(syscall(SYS_getrandom, 8, 16, 0));
}

static void times_of_day(void)
{
    struct timespec a, b;
    struct timeval now;
    struct tms used;
    struct itimerval timer;

    SHOW(clock_gettime(CLOCK_MONOTONIC, &a));
    SHOW(clock_gettime(CLOCK_MONOTONIC, &b));
    printf("forward %d\n", b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
    SHOW(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
    SHOW(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a));
    SHOW(clock_gettime(99, &a));
    SHOW(clock_getres(CLOCK_REALTIME, &a));
    printf("%ld\n", a.tv_nsec);
    SHOW(gettimeofday(&now, 0));
    SHOW(labs(time(0) - now.tv_sec) < 2);
    SHOW(times(&used) > 0);
    SHOW(getitimer(ITIMER_REAL, &timer));
    SHOW(alarm(100));
    SHOW(alarm(0) > 50);
    timer_t id;
    SHOW(timer_create(CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_NONE}, &id));
    SHOW(timer_delete(id));
}

int main(int argc, char **argv)
{
    setvbuf(stdout, 0, _IONBF, 0);
    if (chdir(argc > 1 ? argv[1] : "/tmp"))
        return 1;
    own_files(argv);
    own_descriptors();
    identity();
    limits();
    randomness();
    times_of_day();
    return 0;
}
