/* SPDX-License-Identifier: Apache-2.0 */
/* What single messages (sys_socket.c) and many at a time (sys_message.c) share. */
#ifndef TEEMATE_SYS_SOCKET_H
#define TEEMATE_SYS_SOCKET_H
#include <stdint.h>

#include "iovec.h"
#include "syscall.h"

/* struct user_msghdr of the kernel, which its public headers lack */
struct program_message {
    uint64_t address;
    uint32_t address_size;
    uint32_t reserved;
    uint64_t ranges, range_count;
    uint64_t control, control_size;
    uint32_t flags;
    uint32_t reserved2;
};
_Static_assert(sizeof(struct program_message) == 56, "struct user_msghdr");

/* struct mmsghdr */
struct program_messages {
    struct program_message message;
    uint32_t size;
    uint32_t reserved;
};
_Static_assert(sizeof(struct program_messages) == 64, "struct mmsghdr");

/* struct cmsghdr */
struct control_head {
    uint64_t size;
    int32_t level;
    int32_t type;
};
#define CONTROL_ALIGNMENT sizeof(uint64_t)

/* MSG_* and SCM_RIGHTS of Linux, which are in no public header of the kernel */
#define MESSAGE_PEEK 0x2
#define MESSAGE_TRUNCATED 0x20
#define MESSAGE_DONT_WAIT 0x40
#define MESSAGE_WAIT_ALL 0x100
#define MESSAGE_WAIT_FOR_ONE 0x10000
#define CONTROL_RIGHTS 1
#define ADDRESS_SIZE_MAX 128 /* struct sockaddr_storage */

struct socket_call {
    struct compartment *compartment;
    uint64_t descriptor; /* not hidden */
    uint32_t flags;
};

/* Bytes moved or -errno. `message` holds program pointers; receiving fills in its sizes and flags. */
long socket_send(struct socket_call *socket, struct program_message *message, struct iovec_cursor *cursor, long size);
long socket_receive(struct socket_call *socket, struct program_message *message, struct iovec_cursor *cursor,
                    long size);
#endif
