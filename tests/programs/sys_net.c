/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets, call by call. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SHOW(call) show(#call, (long)(call))
#define LARGE (2 * 1024 * 1024 + 5)
static char large[LARGE], again[LARGE];

static void show(const char *what, long result)
{
    printf("%s = %ld", what, result);
    printf(result < 0 ? " errno %d\n" : "\n", errno);
}

static void *send_large(void *argument)
{
    return (void *)send(*(int *)argument, large, LARGE, 0);
}

static void streams(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
    socklen_t size = sizeof(address), one = 1;
    pthread_t sender;
    void *sent;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_INET, SOCK_STREAM, 0);

    SHOW(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
    SHOW(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SHOW(listen(listener, 5));
    SHOW(getsockname(listener, (struct sockaddr *)&address, &size));
    printf("size %u family %d\n", size, address.sin_family);
    SHOW(connect(client, (struct sockaddr *)&address, sizeof(address)));
    size = 3;
    memset(&peer, 0x55, sizeof(peer));
    int server = accept4(listener, (struct sockaddr *)&peer, &size, 0);
    printf("size %u, %x\n", size, ((unsigned char *)&peer)[4]);
    size = sizeof(peer);
    SHOW(getpeername(server, (struct sockaddr *)&peer, &size));
    SHOW(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
    int value = 0;
    size = sizeof(value);
    SHOW(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &size));
    printf("value %d size %u\n", value, size);
    size = 2;
    SHOW(getsockopt(client, SOL_SOCKET, SO_TYPE, &value, &size));
    SHOW(setsockopt(client, SOL_SOCKET, SO_ATTACH_FILTER, &value, 4) < 0);
    for (int i = 0; i < LARGE; i++)
        large[i] = i * 3 + i / 255;
    pthread_create(&sender, 0, send_large, &client);
    SHOW(recv(server, again, LARGE, MSG_WAITALL));
    pthread_join(sender, &sent);
    printf("sent %ld, same %d\n", (long)sent, !memcmp(large, again, LARGE));
    SHOW(send(client, "hello", 5, 0));
    SHOW(recv(server, again, 3, MSG_PEEK));
    SHOW(recv(server, again, 100, 0));
    SHOW(recv(server, again, 100, MSG_DONTWAIT));
    SHOW(shutdown(client, SHUT_WR));
    SHOW(recv(server, again, 100, 0));
    SHOW(send(-1, "x", 1, 0));
    close(server);
    SHOW(send(client, "x", 1, MSG_NOSIGNAL));
    close(client);
    close(listener);
}

static void datagrams(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t size = sizeof(address);
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    struct mmsghdr many[3] = {0};
    struct iovec ranges[3];
    char parts[3][20];

    bind(a, (struct sockaddr *)&address, sizeof(address));
    getsockname(a, (struct sockaddr *)&address, &size);
    SHOW(sendto(b, "datagram", 8, 0, (struct sockaddr *)&address, sizeof(address)));
    size = sizeof(from);
    SHOW(recvfrom(a, again, 3, MSG_TRUNC, (struct sockaddr *)&from, &size));
    printf("%.3s size %u family %d\n", again, size, from.sin_family);
    SHOW(sendto(b, large, 70000, 0, (struct sockaddr *)&address, sizeof(address)));
    SHOW(sendto(b, large, 10, 0, (struct sockaddr *)&address, 3));
    SHOW(sendto(b, large, 10, 0, (struct sockaddr *)&address, 300));
    SHOW(connect(b, (struct sockaddr *)&address, sizeof(address)));
    for (int i = 0; i < 3; i++) {
        ranges[i] = (struct iovec){parts[i], 3 + i};
        memset(parts[i], 'a' + i, sizeof(parts[i]));
        many[i].msg_hdr.msg_iov = &ranges[i];
        many[i].msg_hdr.msg_iovlen = 1;
    }
    SHOW(sendmmsg(b, many, 3, 0));
    printf("%u %u %u\n", many[0].msg_len, many[1].msg_len, many[2].msg_len);
    memset(parts, '-', sizeof(parts));
    SHOW(recvmmsg(a, many, 3, MSG_WAITFORONE, 0));
    printf("%u %u %u %.5s\n", many[0].msg_len, many[1].msg_len, many[2].msg_len, parts[2]);
    SHOW(recvmmsg(a, many, 3, MSG_DONTWAIT, 0));
    close(a);
    close(b);
}

static void passing_descriptors(void)
{
    int pair[2], ends[2], got = -1;
    char control[CMSG_SPACE(2 * sizeof(int))], byte = 'x';
    struct iovec range = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &range, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int))};

    SHOW(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    SHOW(socketpair(AF_UNIX, 99, 0, pair));
    pipe(ends);
    memset(control, 0, sizeof(control));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &ends[1], sizeof(int));
    SHOW(sendmsg(pair[0], &message, 0));
    message.msg_controllen = sizeof(control);
    memset(control, 0, sizeof(control));
    SHOW(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC));
    head = CMSG_FIRSTHDR(&message);
    printf("control %zu type %d flags %x\n", (size_t)message.msg_controllen, head ? head->cmsg_type : -1,
           message.msg_flags & ~MSG_CMSG_CLOEXEC);
    memcpy(&got, CMSG_DATA(head), sizeof(int));
    SHOW(write(got, "through", 7));
    SHOW(read(ends[0], again, 100));
    message.msg_control = 0;
    message.msg_controllen = 0;
    SHOW(sendmsg(pair[0], &message, 0));
    SHOW(recvmsg(pair[1], &message, 0));
    int waiting = 0;
    SHOW(ioctl(pair[0], FIONREAD, &waiting));
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(ends[i]);
    }
    close(got);
}

static volatile int caught;
static void on_alarm(int signal)
{
    caught = signal;
}

/* A time-out of the socket's own makes a call end where it would otherwise be restarted. */
static void timeouts(void)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct timeval soon = {.tv_usec = 20000}, later = {.tv_sec = 1000}, left = {0};
    socklen_t size = sizeof(left);
    int pair[2];

    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    SHOW(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
    SHOW(recv(pair[0], again, 1, 0));
    SHOW(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &later, sizeof(later)));
    SHOW(getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &left, &size));
    printf("%ld %u\n", (long)left.tv_sec, size);
    sigaction(SIGALRM, &action, 0);
    /* again and again: an alarm that comes before the call has begun interrupts nothing */
    setitimer(ITIMER_REAL, &(struct itimerval){.it_interval = soon, .it_value = soon}, 0);
    long result = recv(pair[0], again, 1, 0);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, 0);
    show("recv(pair[0], again, 1, 0), with an alarm", result);
    printf("caught %d\n", caught);
    close(pair[0]);
    close(pair[1]);
}

static void interfaces(void)
{
    struct ifreq requests[8] = {0};
    struct ifconf list = {.ifc_len = sizeof(requests), .ifc_req = requests}, size_only = {0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    SHOW(ioctl(fd, SIOCGIFCONF, &list));
    printf("%s %d\n", requests[0].ifr_name, requests[0].ifr_addr.sa_family);
    SHOW(ioctl(fd, SIOCGIFCONF, &size_only));
    SHOW(size_only.ifc_len >= list.ifc_len);
    SHOW(ioctl(fd, SIOCGIFFLAGS, &requests[0]));
    SHOW(requests[0].ifr_flags & IFF_LOOPBACK);
    int one = 1;
    SHOW(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &one, 4) < 0);
    close(fd);
}

static void named(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"}, other;
    socklen_t size = sizeof(other);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);

    SHOW(connect(client, (struct sockaddr *)&address, sizeof(address)));
    SHOW(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SHOW(listen(listener, 1));
    SHOW(connect(client, (struct sockaddr *)&address, sizeof(address)));
    SHOW(getpeername(client, (struct sockaddr *)&other, &size));
    printf("%s %u\n", other.sun_path, size);
    SHOW(accept(listener, 0, 0) >= 0);
    SHOW(fcntl(listener, F_SETFL, O_NONBLOCK));
    SHOW(accept(listener, 0, 0));
    close(listener);
    close(client);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, 0, _IONBF, 0);
    if (chdir(argc > 1 ? argv[1] : "/tmp"))
        return 1;
    streams();
    datagrams();
    passing_descriptors();
    timeouts();
    interfaces();
    named();
    return 0;
}
