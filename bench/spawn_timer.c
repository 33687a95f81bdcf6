/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn_timer PROGRAM [ARG...]: run it with its output in a pipe. The output is copied to ours; on standard error
 * one line says when the first byte came and when the program ended, both in nanoseconds after the spawn, and its
 * wait status. Small, so that the spawning itself costs the same and little for whatever is measured.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
    int ends[2], status;
    pid_t child;
    char block[65536];
    posix_spawn_file_actions_t actions;

    if (argc < 2 || pipe2(ends, O_CLOEXEC)) {
        fprintf(stderr, "usage: spawn_timer PROGRAM [ARG...]\n");
        return 2;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    long long begin = now();
    int error = posix_spawn(&child, argv[1], &actions, NULL, argv + 1, environ);
    if (error) {
        fprintf(stderr, "spawn_timer: %s: %s\n", argv[1], strerror(error));
        return 2;
    }
    close(ends[1]);
    long long first = 0;
    for (ssize_t part; (part = read(ends[0], block, sizeof(block))) > 0;) {
        if (!first)
            first = now();
        if (write(1, block, (size_t)part) != part)
            return 2;
    }
    if (waitpid(child, &status, 0) != child)
        return 2;
    fprintf(stderr, "%lld %lld %d\n", first - begin, now() - begin, status);
    return 0;
}
