// SPDX-License-Identifier: Apache-2.0
/* ioctl: what the third argument is depends on the request, so there is a table of those that are known. */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <asm/termios.h>
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/if.h>
#include <linux/sockios.h>

#include "passthrough.h"

struct ioctl_request {
    uint32_t request;
    struct argument argument;
    uint8_t result; /* enum result_kind */
};

/* clang-format off */
#define PLAIN(code) {.request = (code)}
#define TAKES_NUMBER(code) {.request = (code), .argument = {.kind = ARGUMENT_VALUE}}
#define READS(code, type) {.request = (code), .argument = {.kind = ARGUMENT_OUT, .size = sizeof(type)}}
#define WRITES(code, type) {.request = (code), .argument = {.kind = ARGUMENT_IN, .size = sizeof(type)}}
#define BOTH(code, type) {.request = (code), .argument = {.kind = ARGUMENT_INOUT, .size = sizeof(type)}}
#define OPENS(code) {.request = (code), .argument = {.kind = ARGUMENT_VALUE}, .result = RETURNS_DESCRIPTOR}
/* clang-format on */

static const struct ioctl_request requests[] = {
    /* any descriptor */
    READS(FIONREAD, int),
    WRITES(FIONBIO, int),
    WRITES(FIOASYNC, int),
    PLAIN(FIOCLEX),
    PLAIN(FIONCLEX),
    READS(FIOQSIZE, long long),
    /* terminals */
    READS(TCGETS, struct termios),
    WRITES(TCSETS, struct termios),
    WRITES(TCSETSW, struct termios),
    WRITES(TCSETSF, struct termios),
    READS(TCGETS2, struct termios2),
    WRITES(TCSETS2, struct termios2),
    WRITES(TCSETSW2, struct termios2),
    WRITES(TCSETSF2, struct termios2),
    READS(TCGETA, struct termio),
    WRITES(TCSETA, struct termio),
    WRITES(TCSETAW, struct termio),
    WRITES(TCSETAF, struct termio),
    TAKES_NUMBER(TCSBRK),
    TAKES_NUMBER(TCSBRKP),
    PLAIN(TIOCSBRK),
    PLAIN(TIOCCBRK),
    TAKES_NUMBER(TCXONC),
    TAKES_NUMBER(TCFLSH),
    READS(TIOCGWINSZ, struct winsize),
    WRITES(TIOCSWINSZ, struct winsize),
    READS(TIOCGPGRP, int),
    WRITES(TIOCSPGRP, int),
    READS(TIOCGSID, int),
    TAKES_NUMBER(TIOCSCTTY),
    PLAIN(TIOCNOTTY),
    PLAIN(TIOCEXCL),
    PLAIN(TIOCNXCL),
    READS(TIOCGEXCL, int),
    READS(TIOCOUTQ, int),
    WRITES(TIOCSTI, char),
    READS(TIOCMGET, int),
    WRITES(TIOCMSET, int),
    WRITES(TIOCMBIS, int),
    WRITES(TIOCMBIC, int),
    READS(TIOCGETD, int),
    WRITES(TIOCSETD, int),
    WRITES(TIOCPKT, int),
    READS(TIOCGPKT, int),
    READS(TIOCGPTN, unsigned int),
    WRITES(TIOCSPTLCK, int),
    READS(TIOCGPTLCK, int),
    OPENS(TIOCGPTPEER),
    /* sockets and network interfaces */
    READS(SIOCATMARK, int),
    READS(SIOCGPGRP, int),
    WRITES(SIOCSPGRP, int),
    BOTH(SIOCGIFNAME, struct ifreq),
    BOTH(SIOCGIFINDEX, struct ifreq),
    BOTH(SIOCGIFFLAGS, struct ifreq),
    BOTH(SIOCSIFFLAGS, struct ifreq),
    BOTH(SIOCGIFADDR, struct ifreq),
    BOTH(SIOCSIFADDR, struct ifreq),
    BOTH(SIOCGIFBRDADDR, struct ifreq),
    BOTH(SIOCGIFNETMASK, struct ifreq),
    BOTH(SIOCSIFNETMASK, struct ifreq),
    BOTH(SIOCGIFDSTADDR, struct ifreq),
    BOTH(SIOCGIFMTU, struct ifreq),
    BOTH(SIOCSIFMTU, struct ifreq),
    BOTH(SIOCGIFHWADDR, struct ifreq),
    BOTH(SIOCGIFTXQLEN, struct ifreq),
    BOTH(SIOCGIFMETRIC, struct ifreq),
    /* files and block devices; FS_IOC_*FLAGS move an int whatever their name says */
    READS(FS_IOC_GETFLAGS, int),
    WRITES(FS_IOC_SETFLAGS, int),
    READS(FS_IOC_GETVERSION, int),
    READS(FS_IOC_FSGETXATTR, struct fsxattr),
    WRITES(FS_IOC_FSSETXATTR, struct fsxattr),
    READS(FIGETBSZ, int),
    BOTH(FIBMAP, int),
    WRITES(FICLONERANGE, struct file_clone_range),
    READS(BLKGETSIZE, unsigned long),
    READS(BLKGETSIZE64, unsigned long long),
    READS(BLKSSZGET, int),
    READS(BLKPBSZGET, unsigned int),
    READS(BLKROGET, int),
};

static const struct ioctl_request *find(uint32_t request)
{
    for (uint64_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (requests[i].request == request)
            return &requests[i];
    return 0;
}

/* Copy the range of the source descriptor that the argument is. */
static long clone_file(struct syscall *call)
{
    static const struct signature signature = {
        .arguments = {{.kind = ARGUMENT_DESCRIPTOR}, {.kind = ARGUMENT_VALUE}, {.kind = ARGUMENT_DESCRIPTOR}},
    };

    return passthrough(call, &signature);
}

/* SIOCGIFCONF: a size and a pointer to an array, which may be NULL to ask for the size. */
static long list_interfaces(struct syscall *call)
{
    struct ifconf list;
    struct ifconf *host_list = (struct ifconf *)host_buffer();
    char *host_array = (char *)(host_list + 1);
    const int array_max = HOST_BUFFER_SIZE - sizeof(*host_list);

    if (fd_is_hidden(call->compartment, call->args[0]))
        return -EBADF;
    if (copy_from_program(&list, (const void *)call->args[2], sizeof(list)))
        return -EFAULT;
    if (list.ifc_len < 0)
        return -EINVAL;
    int capacity = list.ifc_len < array_max ? list.ifc_len : array_max;
    *(volatile struct ifconf *)host_list =
        (struct ifconf){.ifc_len = capacity, .ifc_ifcu.ifcu_buf = list.ifc_buf ? host_array : 0};
    long result = host_syscall(__NR_ioctl, call->args[0], call->args[1], (uint64_t)host_list, 0, 0, 0);
    if (result)
        return result < 0 ? result : -EIO;
    int size = *(volatile int *)&host_list->ifc_len;
    if (size < 0 || (list.ifc_buf && size > capacity))
        return -EIO;
    if (list.ifc_buf && copy_to_program(list.ifc_buf, host_array, size))
        return -EFAULT;
    list.ifc_len = size;
    return copy_to_program((void *)call->args[2], &list, sizeof(list));
}

long sys_ioctl(struct syscall *call)
{
    uint32_t code = call->args[1];
    const struct ioctl_request *request = find(code);

    if (code == (uint32_t)FICLONE)
        return clone_file(call);
    if (code == SIOCGIFCONF)
        return list_interfaces(call);
    if (!request) {
        /* the descriptor may be the better reason to fail */
        if (fd_is_hidden(call->compartment, call->args[0]))
            return -EBADF;
        long flags = host_syscall(__NR_fcntl, call->args[0], F_GETFD, 0, 0, 0, 0);
        return flags < 0 ? flags : -ENOTTY;
    }
    struct signature signature = {
        .result = request->result == RETURNS_DESCRIPTOR ? RETURNS_DESCRIPTOR : RETURNS_VALUE,
        .blocking = RESTARTS, /* TCSETSW waits for output to drain, and so on */
        .arguments = {{.kind = ARGUMENT_DESCRIPTOR}, {.kind = ARGUMENT_VALUE}, request->argument},
    };
    return passthrough(call, &signature);
}
