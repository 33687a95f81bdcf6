/* SPDX-License-Identifier: Apache-2.0 */
#include "start_block.h"

#include <linux/mman.h>
#include <linux/resource.h>

#include "cpu_table.h"
#include "log.h"
#include "mate.h"
#include "string.h"
#include "syscall.h"

#define CPUID_XSAVE 0xd
#define XSAVEC_XGETBV1 0x6
#define XSAVE_LEGACY_AND_HEADER 576
#define XSAVE_COMPONENT_FIRST 2
#define XSAVE_COMPONENT_COUNT 63

static uint64_t strings_size(char **strings, uint32_t *count)
{
    uint64_t size = 0;

    for (*count = 0; strings[*count]; ++*count)
        size += strlen(strings[*count]) + 1;
    return size;
}

static char *put_string(char *to, const char *string)
{
    size_t size = strlen(string) + 1;

    memcpy(to, string, size);
    return to + size;
}

static uint64_t xsave_size(const struct sgx_thread *thread, uint64_t xfrm)
{
    uint64_t size = XSAVE_LEGACY_AND_HEADER;

    for (uint32_t i = XSAVE_COMPONENT_FIRST; i < XSAVE_COMPONENT_COUNT; i++) {
        struct cpuid leaf;

        if (!(xfrm & 1UL << i))
            continue;
        leaf = cpu_leaf_on(thread, CPUID_XSAVE, i);
        if ((uint64_t)leaf.ebx + leaf.eax > size)
            size = (uint64_t)leaf.ebx + leaf.eax;
    }
    return size;
}

static uint64_t stack_limit(void)
{
    struct rlimit64 limit;
    long result = syscall4(__NR_prlimit64, 0, RLIMIT_STACK, NULL, &limit);

    if (result)
        die("cannot read the limit of the stack's size: error %d; allow prlimit64 in the container's seccomp profile",
            (int)-result);
    return limit.rlim_cur;
}

static void fill(struct start_block *block, const struct sgx_thread *thread, uint64_t blocked_signals)
{
    const struct lease_grant *grant = &mate.lease.grant;
    const struct auxiliary *auxiliary = &mate.auxiliary;

    block->process_id = syscall0(__NR_getpid);
    block->parent_id = syscall0(__NR_getppid);
    block->uid = auxiliary->uid;
    block->euid = auxiliary->euid;
    block->gid = auxiliary->gid;
    block->egid = auxiliary->egid;
    block->secure = auxiliary->secure;
    block->hidden_fd_first = mate.hidden_fd_first;
    block->hidden_fd_last = mate.hidden_fd_last;
    block->thread_count = grant->thread_count;
    block->memory_limit = grant->memory_limit;
    block->stack_limit = stack_limit();
    block->hwcap = auxiliary->hwcap;
    block->hwcap2 = auxiliary->hwcap2;
    block->xfrm = grant->xfrm;
    block->xsave_size = xsave_size(thread, grant->xfrm);
    block->blocked_signals = blocked_signals;
    if (grant->flags & LEASE_TRACE_SYSCALLS)
        block->flags |= START_TRACE_SYSCALLS;
    if (grant->flags & LEASE_NO_PATCH)
        block->flags |= START_NO_PATCH;
    if (grant->flags & LEASE_TSC_CLOCK)
        block->flags |= START_TSC_CLOCK;
    if ((cpu_leaf_on(thread, CPUID_XSAVE, 1).eax & XSAVEC_XGETBV1) == XSAVEC_XGETBV1)
        block->flags |= START_XSAVEC;
}

/* In the exchange buffer, which the LibOS does not use before it has copied the block, or in memory of its own. */
static struct start_block *find_room(const struct exchange *exchange, uint64_t size)
{
    long area;

    if (size <= exchange->buffer_size)
        return (struct start_block *)exchange->buffer;
    area = syscall6(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (syscall_failed(area))
        die("no memory for the arguments: error %d", (int)-area);
    return (struct start_block *)area;
}

void start_block_make(struct host_thread *thread, const char *path, char **arguments, char **environment,
                      uint64_t blocked_signals)
{
    uint32_t argument_count, environment_count;
    uint64_t size = sizeof(struct start_block) + strlen(path) + 1 + strings_size(arguments, &argument_count) +
                    strings_size(environment, &environment_count);
    struct start_block *block;
    char *next;

    if (size > START_BLOCK_SIZE_MAX)
        die_with(EXIT_NOT_EXECUTABLE, "exec: \"%s\": arguments and environment take %lu bytes, the limit is %lu", path,
                 (unsigned long)size, (unsigned long)START_BLOCK_SIZE_MAX);
    block = find_room(thread->exchange, size);
    memset(block, 0, sizeof(*block));
    block->block_size = size;
    block->argument_count = argument_count;
    block->environment_count = environment_count;
    fill(block, &thread->sgx, blocked_signals);
    next = put_string((char *)(block + 1), path);
    for (; *arguments; arguments++)
        next = put_string(next, *arguments);
    for (; *environment; environment++)
        next = put_string(next, *environment);
    thread->exchange->start_block = (uint64_t)block;
}
