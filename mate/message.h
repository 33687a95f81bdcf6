/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of the attach protocol (lease.h), with descriptors. */
#ifndef TEEMATE_MATE_MESSAGE_H
#define TEEMATE_MATE_MESSAGE_H
#include <stddef.h>

#include "lease.h"
#include "mate.h"

struct message {
    struct attach_head head;
    char body[ATTACH_MESSAGE_MAX - sizeof(struct attach_head)];
    size_t body_size;
    int descriptors[LEASE_DESCRIPTORS_MAX];
    unsigned descriptor_count;
};

/* 1, 0 at the end of the stream, or -errno. Dies if the sender does not speak the protocol. */
long message_receive(int socket, struct message *message);
/* No body, one descriptor. */
long message_request(int socket, uint16_t type, int descriptor);
long message_reply(int socket, uint16_t type, const void *body, size_t size);
void message_reply_error(int socket, uint16_t type, int error, const char *text);
void message_close_descriptors(const struct message *message);
#endif
