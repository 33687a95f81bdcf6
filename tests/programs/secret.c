/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a pattern, made at run time from its argument so that the program's file does not contain it, over
 * stack, heap, mappings and thread stacks; says so; then ends or waits to be killed.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define AMOUNT (8UL << 20)
static char pattern[32];

static void fill(volatile char *memory, size_t size)
{
    for (size_t i = 0; i < size; i++)
        memory[i] = pattern[i % sizeof(pattern)];
}

static void *in_thread(void *done)
{
    fill(alloca(64 << 10), 64 << 10);
    pthread_barrier_wait(done);
    pthread_barrier_wait(done); /* stay until the process ends */
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (char)(argv[1][i % strlen(argv[1])] ^ 0x55);
    fill(malloc(AMOUNT), AMOUNT);
    char *grown = sbrk(1 << 20);
    if (grown != (char *)-1) /* musl keeps brk to itself */
        fill(grown, 1 << 20);
    fill(mmap(NULL, AMOUNT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), AMOUNT);
    char *closed = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill(closed, 1 << 20);
    mprotect(closed, 1 << 20, PROT_NONE);
    fill(alloca(1 << 20), 1 << 20);
    pthread_barrier_t done;
    pthread_barrier_init(&done, NULL, 4);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, in_thread, &done))
            return 3;
    }
    pthread_barrier_wait(&done);
    __asm__ volatile("vmovdqu %0, %%ymm7\n\tvmovdqu %0, %%ymm15" ::"m"(pattern) : "xmm7", "xmm15");
    printf("filled\n");
    fflush(stdout);
    if (!strcmp(argv[2], "wait"))
        for (;;)
            pause();
    return 0;
}
