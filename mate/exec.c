/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCALL_EXECVE: the process becomes a new mate, which has the same process id and the lease's descriptors, and
 * starts the new program. It executes itself by descriptor: neither /proc nor the mate's path need be visible.
 */
#include "exec.h"

#include <asm/signal.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/prctl.h>

#include "child_lease.h"
#include "log.h"
#include "ocall.h"
#include "signal.h"
#include "string.h"
#include "syscall.h"

#define NUMBER_SIZE 16
#define OPTION_SIZE 48
#define OPTION_COUNT 6 /* mate, --lease-fd, --executable-fd, --exec, PATH, -- */

static void set_close_on_exec(const struct lease *lease, int executable, int flag)
{
    for (unsigned i = 0; i < lease->descriptor_count; i++)
        syscall3(__NR_fcntl, lease->descriptors[i], F_SETFD, flag);
    syscall3(__NR_fcntl, executable, F_SETFD, flag);
}

static char *option_with_number(char *to, const char *name, int number)
{
    char digits[NUMBER_SIZE];
    size_t count = 0, size = strlen(name);

    memcpy(to, name, size);
    do
        digits[count++] = '0' + number % 10;
    while (number /= 10);
    while (count)
        to[size++] = digits[--count];
    to[size] = 0;
    return to;
}

static size_t count_strings(char **strings)
{
    size_t count = 0;

    while (strings[count])
        count++;
    return count;
}

long exec_mate(const struct lease *lease, int executable, int fresh, const char *path, char **arguments,
               char **environment)
{
    char lease_option[OPTION_SIZE], executable_option[OPTION_SIZE];
    size_t count = count_strings(arguments);
    uint64_t size = (OPTION_COUNT + count + 1) * sizeof(char *);
    long area = syscall6(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char **vector = (char **)area;
    long result;

    if (syscall_failed(area))
        return area;
    vector[0] = (char *)"mate";
    vector[1] = option_with_number(lease_option, "--lease-fd=", lease->descriptors[0]);
    vector[2] = option_with_number(executable_option, "--executable-fd=", executable);
    vector[3] = (char *)(fresh ? "--exec-fresh" : "--exec");
    vector[4] = (char *)path;
    vector[5] = (char *)"--";
    memcpy(vector + OPTION_COUNT, arguments, (count + 1) * sizeof(char *));
    set_close_on_exec(lease, executable, 0);
    result = syscall5(__NR_execveat, executable, "", vector, environment, AT_EMPTY_PATH);
    set_close_on_exec(lease, executable, FD_CLOEXEC);
    syscall2(__NR_munmap, area, size);
    return result;
}

/* Point `vector` at `count` strings from *next on. 0 if they are not all terminated before `end`. */
static int split_strings(char **vector, uint32_t count, char **next, const char *end)
{
    for (uint32_t i = 0; i < count; i++) {
        char *string = *next;

        while (*next < end && **next)
            ++*next;
        if (*next >= end)
            return 0;
        ++*next;
        vector[i] = string;
    }
    vector[count] = NULL;
    return 1;
}

/* A vfork child leaves its parent's compartment for one of its own. */
static long execute_in_own_compartment(const char *path, char **arguments, char **environment)
{
    struct lease lease;
    int executable;
    long result = child_lease_take(&mate, &lease, &executable);

    if (result)
        return result;
    /* Outlives the execve, and the parent may end now */
    syscall2(__NR_prctl, PR_SET_PDEATHSIG, 0);
    result = exec_mate(&lease, executable, 1, path, arguments, environment);
    syscall2(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL);
    child_lease_drop(&lease, executable);
    return result;
}

static long execute(const char *path, char **arguments, char **environment)
{
    if (mate.in_parents_compartment)
        return execute_in_own_compartment(path, arguments, environment);
    return exec_mate(&mate.lease, mate.executable, 0, path, arguments, environment);
}

void ocall_execve(struct host_thread *thread)
{
    struct ocall_execve *request = &thread->exchange->u.execve;
    char *next = (char *)thread->exchange->buffer;
    const char *end = next + EXCHANGE_BUFFER_SIZE;
    uint64_t count = (uint64_t)request->argument_count + request->environment_count;
    uint64_t size = (count + 4) * sizeof(char *); /* the path, and the NULLs of three vectors */
    char **path, **arguments, **environment;
    long area;

    request->result = -E2BIG;
    if (request->strings_size > EXCHANGE_BUFFER_SIZE || count > EXCHANGE_BUFFER_SIZE)
        return;
    area = syscall6(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (syscall_failed(area)) {
        request->result = area;
        return;
    }
    end = next + request->strings_size;
    path = (char **)area;
    arguments = path + 2;
    environment = arguments + request->argument_count + 1;
    request->result = -EINVAL;
    if (split_strings(path, 1, &next, end) && split_strings(arguments, request->argument_count, &next, end) &&
        split_strings(environment, request->environment_count, &next, end))
        request->result = execute(path[0], arguments, environment);
    syscall2(__NR_munmap, area, size);
}
