/* SPDX-License-Identifier: Apache-2.0 */
/* TCP and UDP on the loopback interface, unix sockets, socketpair with a passed descriptor. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int failed;
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno);                                           \
            failed = 1;                                                                                                \
        }                                                                                                              \
    } while (0)

#define AMOUNT (1 << 20)
static int listener;

static void *serve(void *unused)
{
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    static char block[AMOUNT];
    size_t got = 0;
    for (ssize_t part; got < AMOUNT && (part = recv(peer, block + got, AMOUNT - got, 0)) > 0;)
        got += (size_t)part;
    for (size_t sent = 0; sent < got;) {
        ssize_t part = send(peer, block + sent, got - sent, MSG_NOSIGNAL);
        if (part <= 0)
            break;
        sent += (size_t)part;
    }
    close(peer);
    return unused;
}

static void tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;
    EXPECT(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
    EXPECT(bind(listener, (void *)&address, sizeof(address)) == 0);
    EXPECT(getsockname(listener, (void *)&address, &length) == 0 && address.sin_port);
    EXPECT(listen(listener, 5) == 0);
    pthread_t thread;
    pthread_create(&thread, NULL, serve, NULL);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(connect(client, (void *)&address, sizeof(address)) == 0);
    EXPECT(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    static char out[AMOUNT], in[AMOUNT];
    for (size_t i = 0; i < AMOUNT; i++)
        out[i] = (char)(i * 7 + (i >> 10));
    size_t done = 0;
    while (done < AMOUNT) {
        ssize_t part = write(client, out + done, AMOUNT - done);
        if (part <= 0)
            break;
        done += (size_t)part;
    }
    EXPECT(shutdown(client, SHUT_WR) == 0);
    done = 0;
    for (ssize_t part; done < AMOUNT && (part = read(client, in + done, AMOUNT - done)) > 0;)
        done += (size_t)part;
    EXPECT(done == AMOUNT && !memcmp(in, out, AMOUNT));
    EXPECT(read(client, in, 1) == 0);
    pthread_join(thread, NULL);
    close(client);
    close(listener);
    client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(connect(client, (void *)&address, sizeof(address)) == -1 && errno == ECONNREFUSED);
    close(client);
}

static void udp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t length = sizeof(address);
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(bind(a, (void *)&address, sizeof(address)) == 0);
    EXPECT(getsockname(a, (void *)&address, &length) == 0);
    EXPECT(sendto(b, "datagram", 8, 0, (void *)&address, sizeof(address)) == 8);
    char text[100];
    length = sizeof(from);
    EXPECT(recvfrom(a, text, sizeof(text), 0, (void *)&from, &length) == 8 && length == sizeof(from));
    EXPECT(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && from.sin_port);
    close(a);
    close(b);
}

static void passing(void)
{
    int pair[2], ends[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(ends) == 0);
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char byte = 'p';
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &ends[1], sizeof(int));
    EXPECT(sendmsg(pair[0], &message, 0) == 1);
    close(ends[1]);
    memset(&control, 0, sizeof(control));
    byte = 0;
    EXPECT(recvmsg(pair[1], &message, 0) == 1 && byte == 'p');
    int passed = -1;
    memcpy(&passed, CMSG_DATA(&control.header), sizeof(int));
    EXPECT(write(passed, "through", 7) == 7);
    char text[8] = "";
    EXPECT(read(ends[0], text, 7) == 7 && !strcmp(text, "through"));
    struct ucred peer;
    socklen_t length = sizeof(peer);
    EXPECT(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == getuid());
    close(passed);
    close(ends[0]);
    close(pair[0]);
    close(pair[1]);
}

static void named(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/teemate-sockets-test"};
    unlink(address.sun_path);
    int server = socket(AF_UNIX, SOCK_SEQPACKET, 0), client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    EXPECT(bind(server, (void *)&address, sizeof(address)) == 0 && listen(server, 1) == 0);
    EXPECT(connect(client, (void *)&address, sizeof(address)) == 0);
    int peer = accept(server, NULL, NULL);
    EXPECT(send(client, "packet one", 10, 0) == 10 && send(client, "two", 3, 0) == 3);
    char text[100];
    EXPECT(recv(peer, text, sizeof(text), 0) == 10 && recv(peer, text, sizeof(text), 0) == 3);
    close(peer);
    close(client);
    close(server);
    EXPECT(unlink(address.sun_path) == 0);
}

int main(void)
{
    tcp();
    udp();
    passing();
    named();
    printf(failed ? "sockets: failed\n" : "sockets: good\n");
    return failed;
}
