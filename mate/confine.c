/* SPDX-License-Identifier: Apache-2.0 */
/* The janitor's worker runs in the ruins of somebody else's process: seccomp leaves it nothing to harm with. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "janitor.h"
#include "log.h"
#include "syscall.h"

#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#endif
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW(number)                                                                                                  \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define KILL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

void janitor_confine(void)
{
    struct sock_filter filter[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        KILL,
        LOAD(nr),
        ALLOW(write), /* log lines; the channel is closed */
        ALLOW(madvise),
        ALLOW(mprotect),
        ALLOW(fallocate),
        ALLOW(sched_yield),
        ALLOW(clock_gettime),
        ALLOW(arch_prctl), /* CPUID faulting */
        ALLOW(rt_sigreturn),
        ALLOW(rt_sigprocmask),
        ALLOW(exit_group),
        KILL,
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    long result = syscall5(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

    if (!result)
        result = syscall3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    if (result)
        die("the janitor's worker cannot confine itself (error %d): build the kernel with CONFIG_SECCOMP_FILTER",
            (int)-result);
}
