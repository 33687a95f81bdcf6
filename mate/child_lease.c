/* SPDX-License-Identifier: Apache-2.0 */
#include "child_lease.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/time_types.h>

#include "attach.h"
#include "log.h"
#include "message.h"
#include "syscall.h"

#define AF_UNIX_FAMILY 1
#define SOCK_SEQPACKET_CLOEXEC (5 | O_CLOEXEC)
#define ANSWER 0
#define DAEMONS 1
#define SOL_SOCKET_LEVEL 1
#define SO_RCVTIMEO_OPTION 20
#define ANSWER_SECONDS 30

/* The answer comes by a socket of our own: siblings that share the channel could take each other's. */
static long ask(int channel, struct message *answer)
{
    struct __kernel_old_timeval patience = {.tv_sec = ANSWER_SECONDS};
    int ends[2];
    long result = syscall4(__NR_socketpair, AF_UNIX_FAMILY, SOCK_SEQPACKET_CLOEXEC, 0, ends);

    if (result)
        return result;
    syscall5(__NR_setsockopt, ends[ANSWER], SOL_SOCKET_LEVEL, SO_RCVTIMEO_OPTION, &patience, sizeof(patience));
    result = message_request(channel, ATTACH_CHILD, ends[DAEMONS]);
    syscall1(__NR_close, ends[DAEMONS]);
    if (!syscall_failed(result))
        result = message_receive(ends[ANSWER], answer);
    syscall1(__NR_close, ends[ANSWER]);
    if (!result) /* the daemon ended, or dropped the request */
        return -ECONNRESET;
    return result < 0 ? result : 0;
}

static int is_free(int descriptor)
{
    return syscall2(__NR_fcntl, descriptor, F_GETFD) == -EBADF;
}

/* The first of `count` free descriptors in a row, below `limit`; negative if there are none. */
static int find_row(int limit, int count)
{
    int run = 0;

    for (int descriptor = limit - 1; descriptor > 2; descriptor--) {
        run = is_free(descriptor) ? run + 1 : 0;
        if (run == count)
            return descriptor;
    }
    return -EMFILE;
}

static long move_to(int from, int to)
{
    long result = syscall3(__NR_dup3, from, to, O_CLOEXEC);

    return syscall_failed(result) ? result : 0;
}

static long put_in_row(const struct message *answer, int executable, int first)
{
    long result = 0;

    for (unsigned i = 0; i < answer->descriptor_count && !result; i++)
        result = move_to(answer->descriptors[i], first + (int)i);
    return result ? result : move_to(executable, first + (int)answer->descriptor_count);
}

long child_lease_take(const struct mate *self, struct lease *lease, int *executable)
{
    struct message answer;
    int first;
    long result = ask(self->lease.descriptors[self->lease.descriptor_count - 1], &answer);

    if (result) {
        log_error("execve: no answer from the host daemon (error %d): is teemate-hostd running?", (int)-result);
        return -EAGAIN;
    }
    if (answer.head.status) {
        log_text("execve: no lease for the new program: ", answer.body, answer.body_size);
        message_close_descriptors(&answer);
        return -EAGAIN;
    }
    first = find_row(self->hidden_fd_first, (int)answer.descriptor_count + 1);
    result = first < 0 ? first : put_in_row(&answer, self->executable, first);
    message_close_descriptors(&answer);
    if (result) {
        log_error("execve: no room for the new lease's descriptors: raise the limit of open files (ulimit -n)");
        return result;
    }
    lease_read_row(lease, first);
    *executable = first + (int)lease->descriptor_count;
    return 0;
}

void child_lease_drop(const struct lease *lease, int executable)
{
    for (unsigned i = 0; i < lease->descriptor_count; i++)
        syscall1(__NR_close, lease->descriptors[i]);
    syscall1(__NR_close, executable);
}
