/* SPDX-License-Identifier: Apache-2.0 */
/* glibc only (strerrorname_np). execve and execveat: what they refuse and why, then one after the other what they keep
 * and what they do not. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DIRECTORY "/tmp/sys_exec.directory"
static char *no_environment[] = {NULL};
static char *volatile nowhere = (char *)8; /* volatile: or the compiler warns */

static void refused(const char *what, int result)
{
    printf("%s: %d %s\n", what, result, strerrorname_np(errno));
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    if (write(fd, text, strlen(text)) < 0)
        perror(path);
    fchmod(fd, mode);
    close(fd);
}

static int execute_at(int fd, const char *path, char **arguments, int flags)
{
    return (int)syscall(SYS_execveat, fd, path, arguments, no_environment, flags);
}

static void refusals(void)
{
    char *arguments[] = {"x", NULL}, long_path[PATH_MAX + 2];
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = 0;
    write_file("text", "echo no line with an interpreter\n", 0700);
    write_file("plain", "#!/bin/sh\n", 0600);
    write_file("orphan", "#!/no/such/interpreter\n", 0700);
    write_file("loop", "#!" DIRECTORY "/loop\n", 0700);
    write_file("nameless", "#! \n", 0700);
    write_file("empty", "", 0700);
    write_file("half", "\177ELF\2\1\1", 0700);
    symlink("text", "link");
    refused("missing", execve("missing", arguments, no_environment));
    refused("empty path", execve("", arguments, no_environment));
    refused("directory", execve("/tmp", arguments, no_environment));
    refused("not a directory", execve("text/x", arguments, no_environment));
    refused("not executable", execve("plain", arguments, no_environment));
    refused("device", execve("/dev/null", arguments, no_environment));
    refused("text", execve("text", arguments, no_environment));
    refused("no interpreter there", execve("orphan", arguments, no_environment));
    refused("its own interpreter", execve("loop", arguments, no_environment));
    refused("no name of an interpreter", execve("nameless", arguments, no_environment));
    refused("empty", execve("empty", arguments, no_environment));
    refused("half a header", execve("half", arguments, no_environment));
    refused("long path", execve(long_path, arguments, no_environment));
    refused("bad path", execve(nowhere, arguments, no_environment));
    refused("bad arguments", execve("/proc/self/exe", (char **)nowhere, no_environment));
    arguments[0] = nowhere;
    refused("bad argument", execve("/proc/self/exe", arguments, no_environment));
    arguments[0] = "x";
    refused("at: flags", execute_at(AT_FDCWD, "text", arguments, 0x40000000));
    refused("at: descriptor", execute_at(99, "text", arguments, 0));
    refused("at: empty path", execute_at(0, "", arguments, 0));
    refused("at: link", execute_at(AT_FDCWD, "link", arguments, AT_SYMLINK_NOFOLLOW));
    int directory = open(".", O_PATH | O_CLOEXEC);
    refused("at: in a directory", execute_at(directory, "text", arguments, 0));
    refused("at: the directory", execute_at(directory, "", arguments, AT_EMPTY_PATH));
    close(directory);
}

static void on_signal(int number)
{
    (void)number;
}

static void prepare(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, on_signal);
    dup2(1, 20);
    fcntl(dup2(1, 21), F_SETFD, FD_CLOEXEC);
    fflush(stdout);
}

static void show(int count, char **arguments)
{
    struct sigaction action;
    sigset_t mask;
    printf("stage %s:", arguments[1]);
    for (int i = 1; i < count; i++)
        printf(" [%.40s]", arguments[i]);
    printf(" variable=%s", getenv("VARIABLE") ? getenv("VARIABLE") : "none");
    sigprocmask(SIG_SETMASK, NULL, &mask);
    printf(" blocked=%d%d", sigismember(&mask, SIGUSR1), sigismember(&mask, SIGUSR2));
    sigaction(SIGHUP, NULL, &action);
    printf(" ignored=%d", action.sa_handler == SIG_IGN);
    sigaction(SIGUSR1, NULL, &action);
    printf(" default=%d", action.sa_handler == SIG_DFL);
    printf(" open=%d%d\n", fcntl(20, F_GETFD) >= 0, fcntl(21, F_GETFD) >= 0);
}

static void next_stage(int stage)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", stage);
    char *arguments[] = {"sys_exec", number, "one argument", "", NULL};
    char *environment[] = {"VARIABLE=value", "OTHER=", NULL};
    char large[100000];
    int fd;
    prepare();
    switch (stage) {
    case 1:
        execve("/proc/self/exe", arguments, environment);
        break;
    case 2: /* as fexecve does */
        fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        execute_at(fd, "", arguments, AT_EMPTY_PATH);
        break;
    case 3:
        fd = open("/", O_PATH);
        dup2(fd, 30);
        large[readlink("/proc/self/exe", large, sizeof(large) - 1)] = 0;
        execute_at(30, large + 1, arguments, 0);
        break;
    case 4: { /* by way of a script, which adds the interpreter's argument and its own path */
        char self[PATH_MAX], script[PATH_MAX + 32];
        self[readlink("/proc/self/exe", self, sizeof(self) - 1)] = 0;
        snprintf(script, sizeof(script), "#!%s 4\n", self);
        write_file(DIRECTORY "/script", script, 0700);
        arguments[1] = "of the script";
        execve(DIRECTORY "/script", arguments, environment);
        break;
    }
    case 5:
        memset(large, 'x', sizeof(large) - 1);
        large[sizeof(large) - 1] = 0;
        arguments[2] = large;
        execve("/proc/self/exe", arguments, no_environment);
        break;
    default:
        exit(0);
    }
    perror("exec");
    exit(1);
}

int main(int count, char **arguments)
{
    if (count == 1) {
        mkdir(DIRECTORY, 0700);
        if (chdir(DIRECTORY))
            return 1;
        refusals();
        next_stage(1);
    }
    show(count, arguments);
    next_stage(atoi(arguments[1]) + 1);
}
