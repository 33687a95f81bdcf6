/* SPDX-License-Identifier: Apache-2.0 */
/* Eight threads add numbers together, say so and stay until the input ends. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define THREADS 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_over = PTHREAD_COND_INITIALIZER;
static int turn;
static unsigned long total;

static void *work(void *argument)
{
    int number = (int)(long)argument;
    for (unsigned long i = 0; i < 500; i++) {
        pthread_mutex_lock(&lock);
        while (turn != number)
            pthread_cond_wait(&turn_over, &lock);
        total = total * 31 + (unsigned long)number + i;
        turn = (turn + 1) % THREADS;
        pthread_cond_broadcast(&turn_over);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("started");
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i))
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%lx\ndone\n", total);
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}
