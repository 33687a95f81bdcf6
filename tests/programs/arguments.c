/* SPDX-License-Identifier: Apache-2.0 */
/* What a program is started with: arguments, environment, directory, credentials, descriptors, auxv. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char **environ;

static int fcntl_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        printf("argv[%d]=%s\n", i, argv[i]);
    size_t count = 0;
    while (environ[count])
        count++;
    qsort(environ, count, sizeof(*environ), by_name);
    for (size_t i = 0; i < count; i++)
        printf("env %s\n", environ[i]);
    char directory[4096];
    printf("cwd=%s\n", getcwd(directory, sizeof(directory)));
    printf("uid=%d euid=%d gid=%d egid=%d\n", getuid(), geteuid(), getgid(), getegid());
    gid_t groups[64];
    int group_count = getgroups(64, groups);
    for (int i = 0; i < group_count; i++)
        printf("group=%d\n", groups[i]);
    printf("pid=%d\n", getpid());
    printf("auxv pagesz=%lu uid=%lu secure=%lu random=%d execfn=%s\n", getauxval(AT_PAGESZ), getauxval(AT_UID),
           getauxval(AT_SECURE), getauxval(AT_RANDOM) != 0, (char *)getauxval(AT_EXECFN));
    char executable[4096];
    ssize_t length = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
    printf("exe=%.*s\n", (int)length, length > 0 ? executable : "");
    for (int fd = 0; fd < 16; fd++) {
        if (fcntl_is_open(fd))
            printf("fd %d open\n", fd);
    }
    return 0;
}
