// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"

enum operation { PEEK, POKE, MAP, UNMAP, CLOSE_LEASE, TOUCH, EXECUTE };

struct order {
    enum operation operation;
    int prot;
    uint64_t page, count, value;
};

struct answer {
    int status;
    uint64_t value;
};

static void send_descriptor(int socket, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {.iov_base = "", .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    if (sendmsg(socket, &message, 0) != 1)
        check(0, "send a descriptor");
}

static int receive_descriptor(int socket)
{
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    int fd = -1;

    if (recvmsg(socket, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

static struct answer obey(const struct order *order, int *lease_fd, int socket)
{
    struct answer answer = {0};
    char socket_text[16], lease_text[16];

    switch (order->operation) {
    case PEEK:
        answer.status = peek(AT(order->page), &answer.value);
        break;
    case POKE:
        answer.status = poke(AT(order->page), order->value);
        break;
    case MAP:
        answer.status = -map(*lease_fd, order->page, order->count, order->prot);
        break;
    case UNMAP:
        answer.status = munmap((void *)AT(order->page), order->count * PAGE) ? errno : 0;
        break;
    case CLOSE_LEASE:
        answer.status = close(*lease_fd) ? errno : 0;
        *lease_fd = -1;
        break;
    case TOUCH:
        while (answer.value < order->count && !poke(AT(order->page + answer.value), 1))
            answer.value++;
        break;
    case EXECUTE:
        snprintf(socket_text, sizeof(socket_text), "%d", socket);
        snprintf(lease_text, sizeof(lease_text), "%d", *lease_fd);
        fcntl(socket, F_SETFD, 0);
        fcntl(*lease_fd, F_SETFD, 0);
        execl("/proc/self/exe", "vmtest", "container", socket_text, lease_text, NULL);
        answer.status = errno;
        break;
    }
    return answer;
}

int container_main(int socket, int lease_fd)
{
    struct order order;

    catch_faults();
    while (read(socket, &order, sizeof(order)) == sizeof(order)) {
        struct answer answer = obey(&order, &lease_fd, socket);

        if (write(socket, &answer, sizeof(answer)) != sizeof(answer))
            break;
    }
    return 0;
}

struct container container_start(int lease_fd, const char *cgroup)
{
    struct container container = {0};
    int sockets[2], received;
    char text[128];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
        check(0, "socketpair");
    fflush(stdout);
    container.process = fork();
    if (!container.process) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(sockets[1], 3);
        close_range(4, ~0U, 0); /* a real container is executed and inherits nothing */
        received = receive_descriptor(3);
        _exit(received < 0 ? 1 : container_main(3, received));
    }
    close(sockets[1]);
    container.socket = sockets[0];
    if (cgroup) {
        snprintf(text, sizeof(text), "%s/cgroup.procs", cgroup);
        char pid[16];
        snprintf(pid, sizeof(pid), "%d", container.process);
        write_text(text, pid);
    }
    send_descriptor(container.socket, lease_fd);
    close(lease_fd);
    return container;
}

static struct answer command(struct container *container, struct order order)
{
    struct answer answer = {.status = -1};

    if (write(container->socket, &order, sizeof(order)) != sizeof(order) ||
        read(container->socket, &answer, sizeof(answer)) != sizeof(answer))
        return (struct answer){.status = -1};
    container->value = answer.value;
    return answer;
}

int container_peek(struct container *container, uint64_t page)
{
    return command(container, (struct order){.operation = PEEK, .page = page}).status;
}

int container_poke(struct container *container, uint64_t page, uint64_t value)
{
    return command(container, (struct order){.operation = POKE, .page = page, .value = value}).status;
}

int container_map(struct container *container, uint64_t page, uint64_t count, int prot)
{
    return command(container, (struct order){.operation = MAP, .page = page, .count = count, .prot = prot}).status;
}

int container_unmap(struct container *container, uint64_t page, uint64_t count)
{
    return command(container, (struct order){.operation = UNMAP, .page = page, .count = count}).status;
}

int container_close_lease(struct container *container)
{
    return command(container, (struct order){.operation = CLOSE_LEASE}).status;
}

int container_touch(struct container *container, uint64_t page, uint64_t count)
{
    command(container, (struct order){.operation = TOUCH, .page = page, .count = count});
    return (int)container->value;
}

int container_execute_self(struct container *container)
{
    struct order order = {.operation = EXECUTE};

    /* The new image answers only when it is told something */
    return write(container->socket, &order, sizeof(order)) == sizeof(order) ? 0 : -1;
}

void container_kill(struct container *container)
{
    kill(container->process, SIGKILL);
    waitpid(container->process, NULL, 0);
    close(container->socket);
}
