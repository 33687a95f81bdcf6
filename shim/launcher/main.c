// SPDX-License-Identifier: Apache-2.0
/*
 * containerd-shim-teemate-v2, as containerd executes it: hand the call to the zygote and print its answer.
 *
 * Without a zygote (none runs, it was killed, it does not answer) the same call is made by an interpreter
 * started cold: the python beside this program. containerd reads our stdout and stderr as one, so that
 * nothing but the answer may be printed when all is well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PACKET_MAX (128 << 10)
#define ANSWER_SECONDS 10
#define DEFAULT_HOST "/run/teemate"

extern char **environ;

struct packet {
    size_t size;
    char bytes[PACKET_MAX];
};

static int append(struct packet *packet, const char *text)
{
    size_t size = strlen(text) + 1;

    if (size > sizeof(packet->bytes) - packet->size)
        return -1;
    memcpy(packet->bytes + packet->size, text, size);
    packet->size += size;
    return 0;
}

static uint32_t count(char *const *list)
{
    uint32_t n = 0;

    while (list[n])
        n++;
    return n;
}

/* Two counts, the working directory, the environment, the arguments. -1: does not fit. */
static int pack_call(struct packet *packet, char *const *arguments)
{
    uint32_t counts[2] = {count(environ), count(arguments)};
    char directory[4096];

    if (!getcwd(directory, sizeof(directory)))
        return -1;
    memcpy(packet->bytes, counts, sizeof(counts));
    packet->size = sizeof(counts);
    if (append(packet, directory))
        return -1;
    for (char **variable = environ; *variable; variable++)
        if (append(packet, *variable))
            return -1;
    for (; *arguments; arguments++)
        if (append(packet, *arguments))
            return -1;
    return 0;
}

static int connect_zygote(void)
{
    const char *host = getenv("TEEMATE_HOST");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/zygote.sock", host ? host : DEFAULT_HOST);
    int fd;

    if (length < 0 || (size_t)length >= sizeof(address.sun_path))
        return -1;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t written = write(fd, bytes, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        bytes += written;
        size -= written;
    }
    return 0;
}

/* The exit status, or -1 when the zygote has not taken the call, so that it may be made in another way. */
static int ask_zygote(char *const *arguments)
{
    static struct packet packet;
    static char answer[PACKET_MAX];
    uint32_t status;
    ssize_t size;
    int fd;

    if (pack_call(&packet, arguments))
        return -1;
    fd = connect_zygote();
    if (fd < 0)
        return -1;
    if (send(fd, packet.bytes, packet.size, MSG_NOSIGNAL) != (ssize_t)packet.size) {
        close(fd);
        return -1;
    }
    size = recv(fd, answer, sizeof(answer), 0);
    close(fd);
    if (size < (ssize_t)sizeof(status)) {
        /* The call may be half done: making it again by other means could leave two shims. */
        fprintf(stderr, "containerd-shim-teemate-v2: the zygote took the call and did not answer\n");
        return 1;
    }
    memcpy(&status, answer, sizeof(status));
    if (write_all(status ? STDERR_FILENO : STDOUT_FILENO, answer + sizeof(status), size - sizeof(status)))
        return 1;
    return (int)status;
}

static int start_cold(char **arguments)
{
    char python[4096 + sizeof("/python3")];
    ssize_t length = readlink("/proc/self/exe", python, 4096);
    char **words = calloc(count(arguments) + 5, sizeof(*words));
    char *slash;
    int n = 0;

    if (length < 0 || !words) {
        perror("containerd-shim-teemate-v2");
        return 1;
    }
    python[length] = '\0';
    slash = strrchr(python, '/');
    strcpy(slash, "/python3");
    words[n++] = python;
    words[n++] = "-I";
    words[n++] = "-m";
    words[n++] = "shim";
    while (*arguments)
        words[n++] = *arguments++;
    execv(python, words);
    fprintf(stderr, "containerd-shim-teemate-v2: %s: %s; run `make build`\n", python, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    int status;

    (void)argc;
    status = ask_zygote(argv + 1);
    return status >= 0 ? status : start_cold(argv + 1);
}
