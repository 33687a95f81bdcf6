/* SPDX-License-Identifier: Apache-2.0 */
/* Threads at their edges: cancellation, locks of the dead, futex operations, the end of the first thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* <linux/futex.h>, which musl does not bring */
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_CMP_REQUEUE 4
#define FUTEX_WAKE_OP 5
#define FUTEX_WAIT_BITSET 9
#define FUTEX_PRIVATE 128
#define FUTEX_CLOCK_REALTIME 256
#define ADD_5_IF_ZERO (1 << 28 | 0 << 24 | 5 << 12 | 0)

static volatile sig_atomic_t seen;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int pipe_ends[2];

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

static void *read_for_ever(void *argument)
{
    char byte;
    (void)argument;
    while (read(pipe_ends[0], &byte, 1) != 0)
        ;
    return NULL;
}

static void *spin_for_ever(void *argument)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (volatile long i = 0;; i++)
        ;
    return argument;
}

static int case_cancel(void)
{
    pthread_t thread;
    void *result;
    if (pipe(pipe_ends))
        return 1;
    for (int i = 0; i < 20; i++) {
        pthread_create(&thread, NULL, i % 2 ? read_for_ever : spin_for_ever, NULL);
        if (i > 10)
            usleep(500);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        if (result != PTHREAD_CANCELED)
            printf("round %d was not cancelled\n", i);
    }
    puts("cancelled");
    return 0;
}

static void *lock_and_die(void *argument)
{
    pthread_mutex_lock(argument);
    return NULL;
}

static int case_robust(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t robust;
    pthread_t thread;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attributes);
    pthread_create(&thread, NULL, lock_and_die, &robust);
    pthread_join(thread, NULL);
    int error = pthread_mutex_lock(&robust);
    printf("lock of a dead owner: %s\n", error == EOWNERDEAD ? "EOWNERDEAD" : strerror(error));
    printf("consistent %d\n", pthread_mutex_consistent(&robust));
    printf("unlock %d\n", pthread_mutex_unlock(&robust));
    return 0;
}

static int turn;
static void *take_turns(void *argument)
{
    long mine = (long)argument;
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != mine)
            pthread_cond_wait(&cond, &mutex);
        turn = (turn + 1) % 6;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static int case_turns(void)
{
    pthread_t threads[6];
    for (long i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, take_turns, (void *)i);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    printf("turn %d\n", turn);
    return 0;
}

static uint32_t word, words[2], entrance;

static long futex(uint32_t *address, int operation, uint32_t value, const void *timeout, uint32_t *address2,
                  uint32_t value3)
{
    long result = syscall(SYS_futex, address, operation, value, timeout, address2, value3);
    return result < 0 ? -errno : result;
}

/* Moves waiters on until so many have come. */
static void collect(uint32_t *from, uint32_t *to, long count)
{
    while (count > 0) {
        count -= futex(from, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE, 0, (void *)count, to, 0);
        usleep(100);
    }
}

static void *wait_on(void *argument)
{
    return (void *)futex(argument, FUTEX_WAIT | FUTEX_PRIVATE, 0, NULL, NULL, 0);
}

static int case_futex(void)
{
    struct timespec soon = {.tv_nsec = 2000000}, bad = {.tv_nsec = 2000000000}, past = {.tv_sec = 1};
    printf("other value %ld\n", futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
    printf("time-out %ld\n", futex(&word, FUTEX_WAIT, 0, &soon, NULL, 0));
    printf("bad time %ld\n", futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0));
    printf("past %ld\n", futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, ~0u));
    printf("past monotonic %ld\n", futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, ~0u));
    printf("no bits %ld\n", futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0));
    printf("unaligned %ld\n", futex((uint32_t *)((char *)words + 1), FUTEX_WAIT, 0, NULL, NULL, 0));
    printf("unmapped %ld\n", futex((uint32_t *)0x10000, FUTEX_WAIT, 0, NULL, NULL, 0));
    printf("nobody %ld\n", futex(&word, FUTEX_WAKE, 9, NULL, NULL, 0));
    pthread_t threads[5];
    for (int i = 0; i < 5; i++)
        pthread_create(&threads[i], NULL, wait_on, &entrance);
    collect(&entrance, &words[0], 5);
    printf("requeue %ld\n", futex(&words[0], FUTEX_CMP_REQUEUE | FUTEX_PRIVATE, 1, (void *)2, &words[1], 0));
    printf("requeue, other value %ld\n",
           futex(&words[0], FUTEX_CMP_REQUEUE | FUTEX_PRIVATE, 1, (void *)2, &words[1], 7));
    printf("wake second %ld\n", futex(&words[1], FUTEX_WAKE | FUTEX_PRIVATE, 9, NULL, NULL, 0));
    printf("wake op %ld\n", futex(&words[0], FUTEX_WAKE_OP | FUTEX_PRIVATE, 1, (void *)1, &words[1], ADD_5_IF_ZERO));
    printf("words %u %u\n", words[0], words[1]);
    printf("wake rest %ld\n", futex(&words[0], FUTEX_WAKE | FUTEX_PRIVATE, 9, NULL, NULL, 0));
    for (int i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

static sem_t ping, pong;
static void *answer(void *argument)
{
    for (int i = 0; i < 20000; i++) {
        sem_wait(&ping);
        sem_post(&pong);
    }
    return argument;
}

static int case_pingpong(void)
{
    pthread_t thread;
    sem_init(&ping, 0, 0);
    sem_init(&pong, 0, 0);
    pthread_create(&thread, NULL, answer, NULL);
    for (int i = 0; i < 20000; i++) {
        sem_post(&ping);
        sem_wait(&pong);
    }
    pthread_join(thread, NULL);
    puts("done");
    return 0;
}

static void *storm_target(void *argument)
{
    unsigned long sum = 0;
    while (!*(volatile int *)argument) {
        sum += (unsigned long)getppid();
        sum += (unsigned long)getpid();
        for (volatile int i = 0; i < 100; i++)
            ;
        char byte;
        (void)!read(-1, &byte, 1);
    }
    return sum ? argument : NULL;
}

static int case_storm(void)
{
    pthread_t threads[4];
    int stop = 0;
    install(SIGUSR1, count, SA_RESTART);
    install(SIGRTMIN, count, SA_RESTART);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, storm_target, &stop);
    for (int i = 0; i < 4000 || seen <= 100; i++) {
        pthread_kill(threads[i % 4], SIGUSR1);
        if (i % 3 == 0)
            kill(getpid(), SIGUSR1);
        if (i % 50 == 0)
            usleep(100);
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("some %d\n", seen > 100);
    return 0;
}

/* The kernel clears the first thread's id when that has ended. */
static volatile pid_t first;
static void *exit_last(void *argument)
{
    while (first)
        usleep(1000);
    return argument;
}

static int case_leader(void)
{
    pthread_t thread;
    first = (pid_t)syscall(SYS_set_tid_address, &first);
    pthread_create(&thread, NULL, exit_last, NULL);
    pthread_detach(thread);
    syscall(SYS_exit, 7);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} cases[] = {
    {"cancel", case_cancel},     {"robust", case_robust}, {"turns", case_turns},   {"futex", case_futex},
    {"pingpong", case_pingpong}, {"storm", case_storm},   {"leader", case_leader},
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
