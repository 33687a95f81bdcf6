/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mate: a container's first host process.
 *
 *   mate --lease-fd=N [--] PROGRAM [ARG...]   run PROGRAM in the leased compartment
 *   mate janitor                              recover and scrub compartments for the daemon (descriptor 3)
 *   mate cpuid                                print this host's CPUID answers for the daemon (struct lease_cpuid)
 *
 * And, from the mate to itself (exec.c):
 *   mate --lease-fd=N --executable-fd=N --exec[-fresh] PATH -- ARG0 [ARG...]
 */
#include <linux/auxvec.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>

#include "attach.h"
#include "cpu_table.h"
#include "enclave_loop.h"
#include "janitor.h"
#include "log.h"
#include "mate.h"
#include "options.h"
#include "path.h"
#include "recover.h"
#include "signal.h"
#include "start_block.h"
#include "syscall.h"
#include "vdso.h"

#define NOT_GIVEN (-1)

struct mate mate;

static void read_auxiliary(char **environment)
{
    struct auxiliary *auxiliary = &mate.auxiliary;
    uint64_t *entry;

    mate.environment = environment;
    while (*environment)
        environment++;
    for (entry = (uint64_t *)(environment + 1); entry[0] != AT_NULL; entry += 2) {
        switch (entry[0]) {
        case AT_SYSINFO_EHDR:
            auxiliary->vdso = entry[1];
            break;
        case AT_HWCAP:
            auxiliary->hwcap = entry[1];
            break;
        case AT_HWCAP2:
            auxiliary->hwcap2 = entry[1];
            break;
        case AT_EXECFN:
            auxiliary->path = (const char *)entry[1];
            break;
        case AT_SECURE:
            auxiliary->secure = entry[1];
            break;
        case AT_UID:
            auxiliary->uid = entry[1];
            break;
        case AT_EUID:
            auxiliary->euid = entry[1];
            break;
        case AT_GID:
            auxiliary->gid = entry[1];
            break;
        case AT_EGID:
            auxiliary->egid = entry[1];
            break;
        }
    }
}

static int open_executable(const struct options *options)
{
    long descriptor;

    if (options->executable_fd != NOT_GIVEN)
        return options->executable_fd;
    /* By the path that it was just executed by, which is much cheaper */
    if (mate.auxiliary.path) {
        descriptor = syscall4(__NR_openat, AT_FDCWD, mate.auxiliary.path, O_RDONLY | O_CLOEXEC, 0);
        if (!syscall_failed(descriptor))
            return (int)descriptor;
    }
    descriptor = syscall4(__NR_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
    if (syscall_failed(descriptor))
        die("cannot open /proc/self/exe (error %d), which execve needs: mount /proc in the container",
            (int)-descriptor);
    return (int)descriptor;
}

/* What ps shows */
static void name_process(const char *path)
{
    const char *name = path;

    for (const char *c = path; *c; c++)
        if (*c == '/' && c[1])
            name = c + 1;
    syscall2(__NR_prctl, PR_SET_NAME, name);
}

static _Noreturn void run(const struct options *options)
{
    const char *path = options->exec_path;
    uint64_t blocked_signals;
    struct host_thread *thread;

    /* No signal may arrive between here and the first handler's stack */
    signal_block_all(&blocked_signals);
    lease_read_row(&mate.lease, options->lease_fd);
    mate.executable = open_executable(options);
    if (!path)
        path = path_resolve(options->arguments[0], mate.environment);
    descriptors_hide(&mate);
    vdso_start(mate.auxiliary.vdso);
    lease_map(&mate.lease);
    sgx_platform_start(&mate.lease.grant, mate.auxiliary.vdso);
    thread = thread_create(0);
    if (!thread)
        die("no memory for the first thread: raise the container's memory limit");
    thread->tid = syscall1(__NR_set_tid_address, &thread->tid);
    name_process(path);
    thread_start(thread);
    if (options->exec_path && !options->exec_fresh)
        recover_after_exec(thread);
    lease_close_program_memory(&mate.lease);
    start_block_make(thread, path, options->arguments, mate.environment, blocked_signals);
    signal_set_mask(0);
    enclave_loop(thread, ECALL_START, 0);
    thread_exit(thread);
}

void mate_main(uint64_t *stack)
{
    int argument_count = (int)stack[0];
    char **arguments = (char **)(stack + 1);
    struct options options;

    read_auxiliary(arguments + argument_count + 1);
    options_parse(&options, arguments);
    if (options.janitor)
        janitor_run();
    if (options.cpuid)
        cpu_table_print();
    run(&options);
}
