/* SPDX-License-Identifier: Apache-2.0 */
/* New processes by vfork and posix_spawn; the first argument names the case. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_STATUS 23
extern char **environ;
static const char *self;
static volatile int *volatile no_memory = (int *)8;

/* What the shell would say: the exit status, or minus the signal. */
static int outcome(pid_t child)
{
    int status = 0;
    if (waitpid(child, &status, 0) != child)
        return -1000;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void count(int number)
{
    (void)number;
}

static int case_vfork(void)
{
    volatile double kept = 1.25;
    volatile int shared = 0;
    pid_t me = getpid();
    for (volatile int i = 0; i < 20; i++) {
        pid_t child = vfork();
        if (!child) {
            shared += getpid() != me;
            _exit(40 + i);
        }
        if (outcome(child) != 40 + i)
            printf("round %d differs\n", i);
    }
    printf("shared %d kept %.2f still me %d\n", shared, kept, getpid() == me);
    return 0;
}

static int case_ends(void)
{
    pid_t child = vfork();
    if (!child) {
        kill(getpid(), SIGKILL);
        _exit(1);
    }
    printf("killed %d\n", outcome(child));
    child = vfork();
    if (!child) {
        *no_memory = 1;
        _exit(1);
    }
    printf("fault %d\n", outcome(child));
    child = vfork();
    if (!child) {
        execl("/does/not/exist", "x", (char *)NULL);
        _exit(errno == ENOENT ? 77 : 1);
    }
    printf("no program %d\n", outcome(child));
    return 0;
}

/* The child's handlers and mask are its own. */
static int case_signals(void)
{
    sigset_t set, now;
    struct sigaction action;
    signal(SIGUSR1, count);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t child = vfork();
    if (!child) {
        signal(SIGUSR1, SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        kill(getpid(), SIGUSR1); /* raise would use a thread id that the C library keeps: the parent's */
        _exit(1);
    }
    printf("child %d\n", outcome(child) == -SIGUSR1);
    sigaction(SIGUSR1, NULL, &action);
    sigprocmask(SIG_BLOCK, NULL, &now);
    printf("handler kept %d mask kept %d\n", action.sa_handler == count, sigismember(&now, SIGUSR2));
    raise(SIGUSR1);
    return 0;
}

static int spawn_self(char *what)
{
    char *arguments[] = {(char *)self, what, NULL};
    pid_t child;
    int error = posix_spawn(&child, self, NULL, NULL, arguments, environ);
    if (error) {
        printf("posix_spawn: %s\n", strerror(error));
        return -1000;
    }
    return outcome(child);
}

static int case_spawn(void)
{
    for (int i = 0; i < 3; i++)
        printf("status %d\n", spawn_self("child"));
    char *arguments[] = {"x", NULL};
    pid_t child;
    printf("missing: %s\n", strerror(posix_spawn(&child, "/does/not/exist", NULL, NULL, arguments, environ)));
    return 0;
}

static volatile int stop;
static void *call_for_ever(void *argument)
{
    while (!stop)
        if (getpid() != *(pid_t *)argument)
            return "saw another process id";
    return "saw one process id";
}

static int case_threads(void)
{
    pthread_t threads[2];
    pid_t me = getpid();
    void *result;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, call_for_ever, &me);
    for (int i = 0; i < 3; i++)
        printf("status %d\n", spawn_self("child"));
    stop = 1;
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &result);
        puts(result);
    }
    return 0;
}

static int case_child(void)
{
    printf("the child\n");
    return CHILD_STATUS;
}

static const struct {
    const char *name;
    int (*run)(void);
} cases[] = {
    {"vfork", case_vfork}, {"ends", case_ends},       {"signals", case_signals},
    {"spawn", case_spawn}, {"threads", case_threads}, {"child", case_child},
};

int main(int argc, char **argv)
{
    self = argv[0];
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++)
        if (!strcmp(argv[1], cases[i].name))
            return cases[i].run();
    fprintf(stderr, "%s: no such case\n", argv[0]);
    return 2;
}
