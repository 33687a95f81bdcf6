/* SPDX-License-Identifier: Apache-2.0 */
#include "protect_log.h"

#include <linux/errno.h>
#include <linux/mman.h>

#include "log.h"
#include "mate.h"
#include "syscall.h"

#define LOG_SIZE 0x100000

struct protect_entry {
    uint64_t offset, size;
    uint32_t prot;
    uint32_t written; /* set last: a process can be killed before */
};

struct protect_log {
    uint64_t count;
    struct protect_entry entries[];
};
#define ENTRIES_MAX ((LOG_SIZE - sizeof(struct protect_log)) / sizeof(struct protect_entry))

/* Shared by the parent and its children */
static struct protect_log *log;
/* Of each process */
static uint64_t applied;
static uint32_t children;
static uint32_t locked;

static void lock(void)
{
    while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE))
        syscall0(__NR_sched_yield);
}

static void unlock(void)
{
    __atomic_store_n(&locked, 0, __ATOMIC_RELEASE);
}

static long apply(uint64_t offset, uint64_t size, uint32_t prot)
{
    return syscall3(__NR_mprotect, mate.lease.grant.compartment_base + offset, size, prot);
}

static uint64_t logged(void)
{
    uint64_t count = log ? __atomic_load_n(&log->count, __ATOMIC_ACQUIRE) : 0;

    return count < ENTRIES_MAX ? count : ENTRIES_MAX;
}

static void catch_up(void)
{
    for (; applied < logged(); applied++) {
        const struct protect_entry *entry = &log->entries[applied];
        long result;

        if (!__atomic_load_n(&entry->written, __ATOMIC_ACQUIRE))
            return;
        result = apply(entry->offset, entry->size, entry->prot);
        if (result) /* the LibOS believes otherwise: there is no going on */
            die("vfork: cannot protect memory as another process did: error %d (12: raise vm.max_map_count)",
                (int)-result);
    }
}

static void append(uint64_t offset, uint64_t size, uint32_t prot)
{
    uint64_t at = __atomic_fetch_add(&log->count, 1, __ATOMIC_ACQ_REL);
    struct protect_entry *entry = &log->entries[at];

    if (at >= ENTRIES_MAX)
        die("vfork: the processes that share a compartment changed its memory %lu times: let one of them exec or exit",
            (unsigned long)at);
    entry->offset = offset;
    entry->size = size;
    entry->prot = prot;
    __atomic_store_n(&entry->written, 1, __ATOMIC_RELEASE);
    if (applied == at)
        applied++;
}

long protect_log_add_child(void)
{
    long area;

    lock();
    if (!log) {
        area =
            syscall6(__NR_mmap, 0, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (!syscall_failed(area))
            log = (struct protect_log *)area;
    }
    if (log)
        children++;
    unlock();
    return log ? 0 : -ENOMEM;
}

void protect_log_become_child(void)
{
    /* As the clone found them: another thread of the parent may hold the lock, and the children are not ours */
    locked = 0;
    children = 0;
}

/* Nobody else uses the log now. The next child starts with an empty one. */
static void clear_log(void)
{
    for (uint64_t i = 0; i < logged(); i++)
        log->entries[i].written = 0;
    log->count = 0;
    applied = 0;
}

void protect_log_remove_child(void)
{
    lock();
    catch_up();
    if (!--children && !mate.in_parents_compartment) {
        /* what a killed child left half written was not done, or is done again at a fault */
        clear_log();
    }
    unlock();
}

void protect_log_catch_up(void)
{
    if (applied >= logged())
        return;
    lock();
    catch_up();
    unlock();
}

long protect_range(uint64_t offset, uint64_t size, uint32_t prot)
{
    long result;

    lock();
    catch_up();
    result = apply(offset, size, prot);
    if (!result && (children || mate.in_parents_compartment))
        append(offset, size, prot);
    unlock();
    return result;
}
