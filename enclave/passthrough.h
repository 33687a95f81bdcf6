/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that the host serves and whose arguments a table describes: copy in, call, check the
 * result, copy out. A call whose arguments are not of these kinds has a handler of its own.
 */
#ifndef TEEMATE_PASSTHROUGH_H
#define TEEMATE_PASSTHROUGH_H
#include <stdint.h>

#include "syscall.h"

/* A NULL pointer goes to the host as NULL: the kernel knows whether the call allows it. */
enum argument_kind {
    ARGUMENT_NOTHING = 0, /* absent, or the kernel ignores it: what the register holds is not the host's business */
    ARGUMENT_VALUE, /* plain number */
    ARGUMENT_DESCRIPTOR, /* must not be one of the mate's; AT_FDCWD is fine */
    ARGUMENT_STRING, /* NUL-terminated, up to PATH_SIZE; a path whose last link is not followed */
    ARGUMENT_PATH, /* a path that is followed, unless args[count_index] & size; see proc_view.h */
    ARGUMENT_IN, /* `size` bytes to the host */
    ARGUMENT_OUT, /* `size` bytes from the host when the call succeeded */
    ARGUMENT_INOUT, /* both */
    ARGUMENT_IN_ITEMS, /* args[count_index] items of `size` bytes to the host */
    ARGUMENT_OUT_ITEMS, /* the same from the host; RETURNS_COUNT tells how many came */
    ARGUMENT_OUT_COUNTED, /* bytes from the host; args[count_index] points to a 32-bit capacity and length */
    ARGUMENT_IN_OUT_LENGTH, /* that capacity and length */
};

struct argument {
    uint8_t kind; /* enum argument_kind */
    uint8_t count_index; /* of the argument with the count, or with the flags */
    uint16_t size; /* ARGUMENT_OUT_COUNTED: a length up to this may exceed the capacity (truncated) */
};

enum result_kind {
    RETURNS_ZERO = 0, /* zero, or an error */
    RETURNS_VALUE, /* any number that is not negative */
    RETURNS_COUNT, /* items of ARGUMENT_OUT_ITEMS: never more than asked for, unless nothing was */
    RETURNS_BOUNDED, /* at most args[bound_index] */
    RETURNS_DESCRIPTOR, /* a new descriptor */
};

enum blocking_kind {
    NEVER_BLOCKS = 0,
    RESTARTS, /* interrupted: -ERESTARTSYS */
    RESTARTS_UNCAUGHT, /* interrupted: -ERESTARTNOHAND */
    NEVER_RESTARTS, /* interrupted: -EINTR whatever SA_RESTART says */
};

#define ARGUMENTS_MAX 6
struct signature {
    uint8_t result; /* enum result_kind */
    uint8_t blocking; /* enum blocking_kind */
    uint8_t bound_index;
    struct argument arguments[ARGUMENTS_MAX];
};

long passthrough(struct syscall *call, const struct signature *signature);
#endif
