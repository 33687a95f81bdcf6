// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "order.h"

/* A zygote that does not take a call within this time is stuck. What it does afterwards takes as long as it takes. */
#define TAKE_SECONDS 5

extern char **environ;

static char buffer[ORDER_BYTES_MAX];

static int append(size_t *size, const char *text)
{
    size_t length = strlen(text) + 1;

    if (length > CALL_BYTES_MAX - *size)
        return -1;
    memcpy(buffer + *size, text, length);
    *size += length;
    return 0;
}

static int append_all(size_t *size, char *const *list, uint32_t *count)
{
    for (*count = 0; list[*count]; (*count)++)
        if (append(size, list[*count]))
            return -1;
    return 0;
}

/* The size of the call in `buffer`, or 0 if it does not fit. */
static size_t pack_call(enum program program, char *const *arguments)
{
    struct message_call call = {
        .head = {PROTOCOL_MAGIC, PROTOCOL_VERSION, MESSAGE_CALL},
        .program = program,
    };
    char directory[4096];
    size_t size = sizeof(call);

    call.umask = umask(0);
    umask(call.umask);
    if (!getcwd(directory, sizeof(directory)) || append(&size, directory) ||
        append_all(&size, environ, &call.variable_count) || append_all(&size, arguments, &call.argument_count))
        return 0;
    memcpy(buffer, &call, sizeof(call));
    return size;
}

/* Does a process of our own user listen there? Others' orders are not obeyed. */
static int listener_is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

static int connect_zygote(const char *host, enum program program)
{
    const char *name = program == PROGRAM_SHIM ? "shim" : "runtime";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/zygote-%s.sock", host, name);
    int fd;

    if (length < 0 || (size_t)length >= sizeof(address.sun_path))
        return -1;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (fd > STDERR_FILENO && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listener_is_ours(fd))
        return fd;
    close(fd);
    return -1;
}

static int send_streams(int fd)
{
    struct message_head streams_head = {PROTOCOL_MAGIC, PROTOCOL_VERSION, MESSAGE_STREAMS};
    const int streams[3] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    char control[CMSG_SPACE(sizeof(streams))] __attribute__((aligned(8))) = {0};
    struct iovec part = {&streams_head, sizeof(streams_head)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(streams));
    memcpy(CMSG_DATA(head), streams, sizeof(streams));
    return sendmsg(fd, &message, MSG_NOSIGNAL) == sizeof(streams_head) ? 0 : -1;
}

static void send_number(int fd, enum message_kind kind, uint32_t number)
{
    struct message_number message = {{PROTOCOL_MAGIC, PROTOCOL_VERSION, kind}, number};

    /* If the peer is gone the next receive says so. */
    (void)!send(fd, &message, sizeof(message), MSG_NOSIGNAL);
}

/* Receive into `buffer`. The message's kind, or 0 at the end, an error, or for what is not of the protocol. */
static unsigned receive(int fd, size_t *size, int *descriptors, unsigned *count)
{
    char control[CMSG_SPACE(ORDER_DESCRIPTORS_MAX * sizeof(int))] __attribute__((aligned(8)));
    struct iovec part = {buffer, sizeof(buffer)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct message_head head;
    struct cmsghdr *attached;
    ssize_t received;

    *count = 0;
    do {
        received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    if (received < (ssize_t)sizeof(head) || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return 0;
    attached = CMSG_FIRSTHDR(&message);
    if (attached && attached->cmsg_level == SOL_SOCKET && attached->cmsg_type == SCM_RIGHTS) {
        *count = (attached->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(descriptors, CMSG_DATA(attached), *count * sizeof(int));
    }
    memcpy(&head, buffer, sizeof(head));
    *size = received;
    return head.magic == PROTOCOL_MAGIC && head.version == PROTOCOL_VERSION ? head.kind : 0;
}

static void set_limit(int fd, int seconds)
{
    struct timeval limit = {.tv_sec = seconds};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/*
 * Wait for TAKEN. When it does not come in time the connection is shut down first, and only then looked at for the
 * last time: from there on the zygote cannot take the call any more, so that it is never made twice.
 */
static int is_taken(int fd)
{
    int descriptors[ORDER_DESCRIPTORS_MAX];
    unsigned count, kind;
    size_t size;

    set_limit(fd, TAKE_SECONDS);
    kind = receive(fd, &size, descriptors, &count);
    if (kind == 0) {
        shutdown(fd, SHUT_RDWR);
        kind = receive(fd, &size, descriptors, &count);
    }
    set_limit(fd, 0);
    return kind == MESSAGE_TAKEN;
}

/* Before the front becomes a program the connection is moved: if that fails, there must still be one to say so. */
static void obey(int *fd, unsigned kind, size_t size, const int *descriptors, unsigned count)
{
    struct order order;
    unsigned status = 0;
    int error = order_read(&order, buffer, size, descriptors, count);

    if (!error && kind == MESSAGE_EXEC)
        error = order_move_above_targets(&order, fd);
    if (!error)
        error = kind == MESSAGE_EXEC ? order_exec(&order) : order_spawn(&order, &status);
    order_free(&order);
    if (error)
        send_number(*fd, MESSAGE_FAILED, error);
    else
        send_number(*fd, MESSAGE_ENDED, status);
}

static int follow(int *fd)
{
    int descriptors[ORDER_DESCRIPTORS_MAX];
    struct message_number done;
    unsigned count, kind;
    size_t size;

    /* Descriptors of socket activation are not passed on: the zygote refuses a call that has them. */
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    /* If it cannot be sent the next receive meets the end. */
    (void)send_streams(*fd);
    for (;;) {
        kind = receive(*fd, &size, descriptors, &count);
        if (kind != MESSAGE_EXEC && kind != MESSAGE_SPAWN)
            break;
        obey(fd, kind, size, descriptors, count);
    }
    if (kind == MESSAGE_DONE && size == sizeof(done)) {
        memcpy(&done, buffer, sizeof(done));
        return (int)(done.number & 0xff);
    }
    fprintf(stderr,
            "%s: the zygote ended in the middle of the call; it may be half done "
            "(see the log of teemate-hostd, and call again)\n",
            program_name);
    return 1;
}

int call_zygote(const char *host, enum program program, char *const *arguments)
{
    size_t size;
    int fd, status;

    size = pack_call(program, arguments);
    fd = size ? connect_zygote(host, program) : -1;
    if (fd < 0)
        return CALL_COLD;
    status = send(fd, buffer, size, MSG_NOSIGNAL) == (ssize_t)size && is_taken(fd) ? follow(&fd) : CALL_COLD;
    close(fd);
    return status;
}

int own_directory(char *directory, unsigned long size)
{
    ssize_t length = readlink("/proc/self/exe", directory, size - 1);
    char *slash;

    if (length < 0 || (unsigned long)length >= size - 1)
        return -1;
    directory[length] = '\0';
    slash = strrchr(directory, '/');
    *slash = '\0';
    return 0;
}
