/* SPDX-License-Identifier: Apache-2.0 */
/* Eight threads with mutexes, condition variables, barriers, thread-local data and detached exits. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 2000
#define QUEUE 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static int queue[QUEUE], head, tail;
static long long total;
static _Thread_local long local_count;
static long counts[THREADS];

static void put(int value)
{
    pthread_mutex_lock(&lock);
    while (head - tail == QUEUE)
        pthread_cond_wait(&not_full, &lock);
    queue[head++ % QUEUE] = value;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
}

static int get(void)
{
    pthread_mutex_lock(&lock);
    while (head == tail)
        pthread_cond_wait(&not_empty, &lock);
    int value = queue[tail++ % QUEUE];
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&lock);
    return value;
}

static void *work(void *argument)
{
    int number = (int)(long)argument;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        if (number % 2) {
            put(i);
        } else {
            int value = get();
            pthread_mutex_lock(&lock);
            total += value;
            pthread_mutex_unlock(&lock);
        }
        local_count++;
    }
    counts[number] = local_count;
    pthread_barrier_wait(&barrier);
    return (void *)(long)(number * number);
}

static void *nothing(void *unused)
{
    return unused;
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i)) {
            fprintf(stderr, "pthread_create: thread %ld\n", i);
            return 1;
        }
    long squares = 0;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        squares += (long)result;
    }
    printf("total %lld squares %ld", total, squares);
    for (int i = 0; i < THREADS; i++)
        printf(" %ld", counts[i]);
    printf("\n");

    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 30000000;
    if (soon.tv_nsec >= 1000000000) {
        soon.tv_sec++;
        soon.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&lock);
    int waited = pthread_cond_timedwait(&not_empty, &lock, &soon);
    pthread_mutex_unlock(&lock);
    printf("timed out %d\n", waited == ETIMEDOUT);

    for (int i = 0; i < 200; i++) { /* slots are given back */
        pthread_t one;
        if (pthread_create(&one, NULL, nothing, NULL)) {
            fprintf(stderr, "pthread_create: round %d\n", i);
            return 1;
        }
        pthread_join(one, NULL);
    }
    printf("200 threads came and went\n");
    return 0;
}
