/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a front and the zygote say to each other, on <run directory>/zygote-shim.sock and zygote-runtime.sock
 * (SOCK_SEQPACKET).
 *
 * The front is the process that somebody else has executed: it has the right parent, terminal and descriptors, but is
 * no Python. The zygote is a Python with everything imported. zygote/protocol.py mirrors this file.
 *
 *   front                                 the child that the zygote has forked for the call
 *     CALL                          ->
 *                                   <-    TAKEN, or COLD: "start your own interpreter"
 *     STREAMS (0, 1, 2 attached)    ->
 *                                   <-    EXEC (descriptors attached): become this program
 *     FAILED errno, or the end      ->    the end means that it has
 *                                   <-    SPAWN (descriptors attached): run this program
 *     FAILED errno, or ENDED status ->
 *                                   <-    DONE status
 *
 * Every message starts with struct message_head. Numbers are little-endian, strings end in NUL.
 */
#ifndef TEEMATE_ZYGOTE_PROTOCOL_H
#define TEEMATE_ZYGOTE_PROTOCOL_H

#include <stdint.h>

#define PROTOCOL_MAGIC 0x475a4d54u /* "TMZG" */
#define PROTOCOL_VERSION 1

#define CALL_BYTES_MAX (128 << 10)
#define ORDER_BYTES_MAX (160 << 10)
#define ORDER_DESCRIPTORS_MAX 16

enum message_kind {
    MESSAGE_CALL = 1,
    MESSAGE_FAILED = 2,
    MESSAGE_ENDED = 3,
    MESSAGE_STREAMS = 4,
    MESSAGE_TAKEN = 16,
    MESSAGE_COLD = 17,
    MESSAGE_EXEC = 18,
    MESSAGE_SPAWN = 19,
    MESSAGE_DONE = 20,
};

enum program { PROGRAM_SHIM = 1, PROGRAM_RUNTIME = 2 };

struct message_head {
    uint32_t magic;
    uint16_t version;
    uint16_t kind; /* enum message_kind */
};

/*
 * STREAMS is a head alone. It is a message of its own, because descriptors in a call that nobody takes would keep the
 * caller's streams open.
 *
 * CALL. Then the strings: working directory, environment, arguments without the program's own name.
 */
struct message_call {
    struct message_head head;
    uint32_t program; /* enum program */
    uint32_t umask;
    uint32_t variable_count;
    uint32_t argument_count;
};

/* FAILED (an errno), ENDED and DONE (an exit status as a shell gives it). */
struct message_number {
    struct message_head head;
    uint32_t number;
};

/*
 * EXEC and SPAWN. targets[i] is the number that the i-th attached descriptor gets in the program. Then the strings:
 * the program's path, then its arguments from argv[0] on.
 */
struct message_order {
    struct message_head head;
    uint32_t argument_count;
    uint32_t descriptor_count;
    int32_t targets[ORDER_DESCRIPTORS_MAX];
};

#endif
