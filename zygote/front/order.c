// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "order.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP};
static volatile pid_t spawned;

int order_move_above_targets(const struct order *order, int *fd)
{
    int above = STDERR_FILENO, moved;

    for (unsigned i = 0; i < order->descriptor_count; i++)
        if (order->targets[i] > above)
            above = order->targets[i];
    moved = fcntl(*fd, F_DUPFD_CLOEXEC, above + 1);
    if (moved < 0)
        return errno;
    close(*fd);
    *fd = moved;
    return 0;
}

/* The source of a dup2 must not be a number that an earlier one has overwritten. */
static int move_sources(struct order *order)
{
    int error = 0;

    for (unsigned i = 0; i < order->descriptor_count && !error; i++)
        error = order_move_above_targets(order, &order->descriptors[i]);
    return error;
}

static int read_strings(struct order *order, char *text, size_t size, unsigned count)
{
    char *end = text + size;

    order->arguments = calloc(count + 1, sizeof(*order->arguments));
    if (!order->arguments)
        return ENOMEM;
    for (unsigned i = 0; i <= count; i++) {
        char *nul = memchr(text, '\0', end - text);

        if (!nul)
            return EPROTO;
        if (i == 0)
            order->path = text;
        else
            order->arguments[i - 1] = text;
        text = nul + 1;
    }
    return text == end ? 0 : EPROTO;
}

int order_read(struct order *order, char *bytes, size_t size, const int *descriptors, unsigned count)
{
    struct message_order message;
    int error;

    memset(order, 0, sizeof(*order));
    order->descriptor_count = count;
    memcpy(order->descriptors, descriptors, count * sizeof(*descriptors));
    if (size < sizeof(message))
        return EPROTO;
    memcpy(&message, bytes, sizeof(message));
    if (message.descriptor_count != count || message.argument_count < 1 || message.argument_count > size)
        return EPROTO;
    for (unsigned i = 0; i < count; i++) {
        if (message.targets[i] < 0)
            return EPROTO;
        order->targets[i] = message.targets[i];
    }
    error = read_strings(order, bytes + sizeof(message), size - sizeof(message), message.argument_count);
    return error ? error : move_sources(order);
}

void order_free(struct order *order)
{
    for (unsigned i = 0; i < order->descriptor_count; i++)
        close(order->descriptors[i]);
    free(order->arguments);
}

int order_exec(const struct order *order)
{
    for (unsigned i = 0; i < order->descriptor_count; i++)
        if (dup2(order->descriptors[i], order->targets[i]) < 0)
            return errno;
    execv(order->path, order->arguments);
    return errno;
}

static void pass_on(int number)
{
    if (spawned > 0)
        kill(spawned, number);
}

/* Signals that the caller has set to be ignored stay so, here and in the program. */
static void catch_signals(sigset_t *caught)
{
    struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};

    sigemptyset(caught);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(*forwarded); i++) {
        struct sigaction old;

        if (sigaction(forwarded[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            sigaction(forwarded[i], &action, NULL);
            sigaddset(caught, forwarded[i]);
        }
    }
}

static void release_signals(const sigset_t *caught)
{
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(*forwarded); i++)
        if (sigismember(caught, forwarded[i]))
            signal(forwarded[i], SIG_DFL);
}

static int spawn(const struct order *order, const sigset_t *caught, const sigset_t *mask)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid;
    int error;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, caught);
    posix_spawnattr_setsigmask(&attributes, mask);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    error = 0;
    for (unsigned i = 0; i < order->descriptor_count && !error; i++)
        error = posix_spawn_file_actions_adddup2(&actions, order->descriptors[i], order->targets[i]);
    if (!error)
        error = posix_spawn(&pid, order->path, &actions, &attributes, order->arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    spawned = error ? 0 : pid;
    return error;
}

int order_spawn(const struct order *order, unsigned *status)
{
    sigset_t all, caught, old;
    int error, wait_status;
    pid_t pid;

    /* A signal that comes before the program exists waits until it does. */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    catch_signals(&caught);
    error = spawn(order, &caught, &old);
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (!error) {
        do {
            pid = waitpid(spawned, &wait_status, 0);
        } while (pid < 0 && errno == EINTR);
        if (pid < 0)
            error = errno;
        else
            *status = WIFSIGNALED(wait_status) ? 128u + WTERMSIG(wait_status) : (unsigned)WEXITSTATUS(wait_status);
    }
    spawned = 0;
    release_signals(&caught);
    return error;
}
