/* SPDX-License-Identifier: Apache-2.0 */
/* Alive until killed: computing, writing, allocating and sleeping in turns, so that a kill lands anywhere. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *compute(void *unused)
{
    volatile unsigned long hash = 1;
    for (;;)
        hash = hash * 6364136223846793005UL + 1;
    return unused;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "threads")) {
        pthread_t thread;
        for (int i = 0; i < 3; i++)
            pthread_create(&thread, NULL, compute, NULL);
    }
    printf("ready\n");
    fflush(stdout);
    FILE *null = fopen("/dev/null", "w");
    for (unsigned long round = 0;; round++) {
        size_t size = 4096 * (1 + round % 64);
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(memory, (int)round, size);
        fprintf(null, "%lu %d\n", round, memory[size - 1]);
        fflush(null);
        munmap(memory, size);
        if (round % 50 == 0)
            usleep(1000);
    }
}
