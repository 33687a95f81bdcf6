/* SPDX-License-Identifier: Apache-2.0 */
/* Ends in the way that its arguments name: `exits status N`, `exits group N`, `exits signal N`, `exits abort`. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *leave(void *status)
{
    syscall(SYS_exit_group, (int)(long)status);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    int value = argc > 2 ? atoi(argv[2]) : 0;
    printf("about to end\n");
    fflush(stdout);
    if (!strcmp(argv[1], "status"))
        return value;
    if (!strcmp(argv[1], "group")) { /* another thread ends the process while this one sleeps */
        pthread_t thread;
        pthread_create(&thread, NULL, leave, (void *)(long)value);
        for (;;)
            pause();
    }
    if (!strcmp(argv[1], "signal")) {
        signal(value, SIG_DFL);
        raise(value);
        return 100; /* the default action of this signal does not end a process */
    }
    if (!strcmp(argv[1], "abort"))
        abort();
    if (!strcmp(argv[1], "last-thread")) /* the last thread to end leaves status 0 */
        pthread_exit(NULL);
    return 2;
}
