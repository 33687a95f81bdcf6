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
#include <sys/mman.h>
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

/* What a child does when it is killed: by turns inside the enclave, with a lock of the LibOS, and outside. */
static void keep_busy(int round)
{
    volatile double work = round;
    for (;;) {
        size_t size = (size_t)(1 + round % 7) * 4096 * (round % 5 ? 1 : 64);
        char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        area[0] = 1;
        if (round % 2)
            mprotect(area, 4096, PROT_READ);
        munmap(area, size);
        for (int i = 0; i < round % 3 * 1000; i++)
            work = work * 1.0001;
        if (round % 4 == 3)
            getppid();
    }
}

static volatile pid_t target;
static void *kill_targets(void *argument)
{
    unsigned seed = 1;
    while (!stop) {
        pid_t child = target;
        if (!child)
            continue;
        seed = seed * 1103515245 + 12345;
        for (volatile unsigned i = seed >> 16; i; i--)
            ;
        target = 0;
        kill(child, SIGKILL);
    }
    return argument;
}

/* A vfork child is killed by another thread of its parent at any moment; the parent goes on with all that it had. */
static int case_killed(void)
{
    pthread_t killer;
    volatile int rounds = 300, killed = 0;
    char *kept = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(kept, 'k', 65536);
    pthread_create(&killer, NULL, kill_targets, NULL);
    for (volatile int i = 0; i < rounds; i++) {
        pid_t child = vfork();
        if (!child) {
            target = getpid();
            keep_busy(i);
        }
        killed += outcome(child) == -SIGKILL;
        char *area = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        char *heap = malloc(10000);
        if (area == MAP_FAILED || !heap || area[4096] || kept[40960] != 'k')
            printf("round %d: memory differs\n", i);
        memset(area, 'a', 65536);
        memset(heap, 'h', 10000);
        free(heap);
        munmap(area, 65536);
    }
    stop = 1;
    pthread_join(killer, NULL);
    printf("killed %d of %d\n", killed, rounds);
    return 0;
}

static int file_of(char content, size_t size)
{
    char path[] = "/tmp/spawn-XXXXXX";
    int file = mkstemp(path);
    char *bytes = malloc(size);
    memset(bytes, content, size);
    if (file < 0 || unlink(path) || write(file, bytes, size) != (ssize_t)size)
        perror(path);
    free(bytes);
    return file;
}

/* What a child maps stays with its parent, as far as it is memory of the process; the rest is not in the way. */
static int case_maps(void)
{
    size_t size = 1 << 20;
    int first = file_of('1', size), second = file_of('2', size);
    for (int order = 0; order < 2; order++) {
        char *volatile private = NULL;
        pid_t child = vfork();
        if (!child) {
            void *shared = order ? mmap(NULL, size, PROT_READ, MAP_SHARED, first, 0) : NULL;
            private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, first, 0);
            _exit(shared == MAP_FAILED || private == MAP_FAILED);
        }
        printf("child %d\n", outcome(child));
        char *shared = mmap(NULL, size, PROT_READ, MAP_SHARED, second, 0);
        printf("shared mapping of the parent %c\n", shared == MAP_FAILED ? '?' : shared[size - 1]);
        printf("private mapping of the child %c %c\n", private[0], private[size - 1]);
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
    {"vfork", case_vfork},     {"ends", case_ends},   {"signals", case_signals}, {"spawn", case_spawn},
    {"threads", case_threads}, {"child", case_child}, {"killed", case_killed},   {"maps", case_maps},
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
