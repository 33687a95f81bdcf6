/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel lets a signal end only those calls that wait: what can be done at once is done, and the handler runs then.
 * Programs rely on it, above all where files are concerned, for which nothing ever waits that long. What cannot be told
 * here is taken to wait.
 */
#include "would_wait.h"

#include <asm/poll.h>
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <linux/wait.h>

#include "syscall.h"

/* <linux/socket.h> keeps them from user space */
#define MSG_DONTWAIT 0x40
#define MSG_WAITALL 0x100

static int is_ready(uint64_t descriptor, short events)
{
    struct pollfd entry = {.fd = (int)descriptor, .events = events};
    struct __kernel_timespec at_once = {0};

    return syscall5(__NR_ppoll, &entry, 1, &at_once, NULL, 0) == 1;
}

/* Nor does an error: ppoll would pass over a negative descriptor. */
static int never_waits(uint64_t descriptor)
{
    long flags = syscall2(__NR_fcntl, descriptor, F_GETFL);

    return syscall_failed(flags) || flags & O_NONBLOCK;
}

static int is_file(uint64_t descriptor)
{
    struct stat status;

    return !syscall2(__NR_fstat, descriptor, &status) && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
}

/* FIFOs wait for the other end, some devices for whatever they like. */
static int opens_at_once(const uint64_t args[6])
{
    struct stat status;
    long error = syscall4(__NR_newfstatat, args[0], args[1], &status, 0);

    return error || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode);
}

int would_wait(long number, const uint64_t args[6])
{
    switch (number) {
    case __NR_accept: /* threads often share a listener: another may take the connection, and this one would wait */
    case __NR_accept4:
        return !never_waits(args[0]);
    case __NR_read:
        return !never_waits(args[0]) && !is_ready(args[0], POLLIN);
    case __NR_write: /* a pipe that is ready for some bytes may have to wait for room for more */
        return !never_waits(args[0]) && !(is_ready(args[0], POLLOUT) && (args[2] <= PIPE_BUF || is_file(args[0])));
    case __NR_recvmsg:
        return !(args[2] & MSG_DONTWAIT) && !never_waits(args[0]) &&
               (args[2] & MSG_WAITALL || !is_ready(args[0], POLLIN));
    case __NR_sendmsg:
        return !(args[2] & MSG_DONTWAIT) && !never_waits(args[0]);
    case __NR_pread64:
    case __NR_pwrite64:
    case __NR_preadv2:
    case __NR_pwritev2:
        return !is_file(args[0]);
    case __NR_openat:
        return !opens_at_once(args);
    case __NR_wait4:
        return !(args[2] & WNOHANG);
    default:
        return 1;
    }
}
