// SPDX-License-Identifier: Apache-2.0
/*
 * Kills a vfork child between any two instructions of a change of its mapping table: the child is single-stepped, and
 * after each step a copy of what it has done so far must be recovered to the table before or after the change.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory_table.h"
#include "require.h"
#include "thread.h"

#define CAPACITY 64
/* signal.h is the LibOS's here */
#define SIGTRAP 5
#define SIGSTOP 19
struct state {
    struct compartment compartment;
    struct vma entries[CAPACITY];
};
static struct state *shared; /* with the child */
static struct thread thread;
static unsigned long recovered_before, recovered_after;

/* Nobody else is there. */
void spin_wait(const struct spinlock *lock)
{
    (void)lock;
    REQUIRE(0);
}

static struct vma mapping(unsigned first, unsigned end, uint32_t prot)
{
    uint64_t area = COMPARTMENT_BASE(0) + APP_OFFSET;
    return (struct vma){.start = area + first * PAGE_SIZE, .end = area + end * PAGE_SIZE, .prot = prot};
}

static void fill(struct state *state)
{
    memset(state, 0, sizeof(*state));
    state->compartment.base = COMPARTMENT_BASE(0);
    struct vma_table *table = &state->compartment.memory.vmas;
    table->entries = state->entries;
    table->capacity = CAPACITY - VMA_TABLE_SLACK;
    for (unsigned i = 0; i < 12; i++) {
        struct vma vma = mapping(10 * i, 10 * i + 8, PROT_READ | (i % 2 ? PROT_WRITE : 0));
        REQUIRE(!memory_table_set(&state->compartment, &vma));
    }
}

static void set_over_several(struct compartment *compartment)
{
    struct vma vma = mapping(15, 45, PROT_READ | PROT_WRITE);
    memory_table_set(compartment, &vma);
}

static void set_between(struct compartment *compartment)
{
    struct vma vma = mapping(28, 30, PROT_READ);
    memory_table_set(compartment, &vma);
}

static void clear_middle(struct compartment *compartment)
{
    struct vma hole = mapping(52, 55, 0);
    memory_table_clear(compartment, hole.start, hole.end);
}

static void clear_several(struct compartment *compartment)
{
    struct vma hole = mapping(5, 77, 0);
    memory_table_clear(compartment, hole.start, hole.end);
}

static void protect_part(struct compartment *compartment)
{
    struct vma part = mapping(62, 66, 0);
    memory_table_protect(compartment, part.start, part.end, PROT_NONE);
}

static int same_table(const struct state *a, const struct state *b)
{
    uint32_t count = a->compartment.memory.vmas.count;
    return b->compartment.memory.vmas.count == count && !memcmp(a->entries, b->entries, count * sizeof(struct vma));
}

static uint64_t committed(const struct state *state)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < state->compartment.memory.vmas.count; i++)
        sum += state->entries[i].prot ? state->entries[i].end - state->entries[i].start : 0;
    return sum;
}

static void check_recovery(const struct state *before, const struct state *after)
{
    static struct state now;
    memcpy(&now, shared, sizeof(now));
    now.compartment.memory.vmas.entries = now.entries;
    REQUIRE(memory_table_recover(&now.compartment));
    int is_before = same_table(&now, before), is_after = same_table(&now, after);
    REQUIRE(is_before || is_after);
    REQUIRE(now.compartment.memory.committed == committed(&now));
    recovered_before += (unsigned long)is_before;
    recovered_after += (unsigned long)is_after;
}

static void kill_everywhere(void (*change)(struct compartment *))
{
    static struct state before, after;
    int status;
    fill(&before);
    fill(&after);
    change(&after.compartment);
    REQUIRE(!same_table(&before, &after));
    fill(shared);
    pid_t child = fork();
    if (!child) {
        thread.is_vfork_child = 1;
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        syscall(SYS_kill, getpid(), SIGSTOP);
        change(&shared->compartment);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    while (!ptrace(PTRACE_SINGLESTEP, child, NULL, NULL)) {
        REQUIRE(waitpid(child, &status, 0) == child);
        if (WIFEXITED(status))
            break;
        REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
        check_recovery(&before, &after);
    }
    REQUIRE(WIFEXITED(status) && !WEXITSTATUS(status));
}

int main(void)
{
    thread.self = &thread;
    REQUIRE(!syscall(SYS_arch_prctl, ARCH_SET_GS, &thread));
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    kill_everywhere(set_over_several);
    kill_everywhere(set_between);
    kill_everywhere(clear_middle);
    kill_everywhere(clear_several);
    kill_everywhere(protect_part);
    REQUIRE(recovered_before > 100 && recovered_after > 100);
    printf("recovered %lu times to before and %lu times to after\n", recovered_before, recovered_after);
    return 0;
}
