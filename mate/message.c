/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

#include "log.h"
#include "string.h"
#include "syscall.h"

/* Kernel ABI of sendmsg and recvmsg; the kernel's headers do not export it */
#define SOL_SOCKET_LEVEL 1
#define SCM_RIGHTS_TYPE 1
#define MSG_CMSG_CLOEXEC_FLAG 0x40000000
#define MSG_NOSIGNAL_FLAG 0x4000
#define MSG_TRUNCATED (0x20 | 0x8) /* MSG_TRUNC, MSG_CTRUNC */

struct io_vector {
    void *base;
    size_t size;
};

struct message_header {
    void *name;
    uint32_t name_size;
    struct io_vector *vectors;
    size_t vector_count;
    void *control;
    size_t control_size;
    uint32_t flags;
};

struct control_header {
    size_t size;
    int level, type;
};

struct control {
    struct control_header header;
    int descriptors[LEASE_DESCRIPTORS_MAX];
};

static void take_descriptors(struct message *message, const struct control *control, size_t control_size)
{
    message->descriptor_count = 0;
    if (control_size < sizeof(control->header) || control->header.level != SOL_SOCKET_LEVEL ||
        control->header.type != SCM_RIGHTS_TYPE)
        return;
    message->descriptor_count = (control->header.size - sizeof(control->header)) / sizeof(int);
    memcpy(message->descriptors, control->descriptors, message->descriptor_count * sizeof(int));
}

long message_receive(int socket, struct message *message)
{
    struct control control;
    struct io_vector vectors[] = {{&message->head, sizeof(message->head)}, {message->body, sizeof(message->body)}};
    struct message_header header = {
        .vectors = vectors, .vector_count = 2, .control = &control, .control_size = sizeof(control)};
    long size;

    do
        size = syscall3(__NR_recvmsg, socket, &header, MSG_CMSG_CLOEXEC_FLAG);
    while (size == -EINTR);
    if (size <= 0)
        return size;
    take_descriptors(message, &control, header.control_size);
    if (header.flags & MSG_TRUNCATED || (size_t)size < sizeof(message->head) || message->head.size != (size_t)size ||
        message->head.magic != ATTACH_MAGIC || message->head.version != ATTACH_VERSION)
        die("the host daemon sent something that is not attach protocol version %d: use a mate and a daemon of the "
            "same "
            "release",
            ATTACH_VERSION);
    message->body_size = (size_t)size - sizeof(message->head);
    return 1;
}

static long send_packet(int socket, uint16_t type, int status, const void *body, size_t size, struct control *control,
                        size_t control_size)
{
    struct attach_head head = {.magic = ATTACH_MAGIC,
                               .version = ATTACH_VERSION,
                               .type = type,
                               .size = (uint32_t)(sizeof(head) + size),
                               .status = status};
    struct io_vector vectors[] = {{&head, sizeof(head)}, {(void *)body, size}};
    struct message_header header = {
        .vectors = vectors, .vector_count = 2, .control = control, .control_size = control_size};

    return syscall3(__NR_sendmsg, socket, &header, MSG_NOSIGNAL_FLAG);
}

long message_request(int socket, uint16_t type, int descriptor)
{
    struct control control = {
        .header = {.size = sizeof(control.header) + sizeof(int), .level = SOL_SOCKET_LEVEL, .type = SCM_RIGHTS_TYPE},
        .descriptors = {descriptor}};

    return send_packet(socket, type, 0, NULL, 0, &control, sizeof(control.header) + 2 * sizeof(int));
}

long message_reply(int socket, uint16_t type, const void *body, size_t size)
{
    return send_packet(socket, type, 0, body, size, NULL, 0);
}

void message_reply_error(int socket, uint16_t type, int error, const char *text)
{
    send_packet(socket, type, error, text, strlen(text), NULL, 0);
}

void message_close_descriptors(const struct message *message)
{
    for (unsigned i = 0; i < message->descriptor_count; i++)
        syscall1(__NR_close, message->descriptors[i]);
}
