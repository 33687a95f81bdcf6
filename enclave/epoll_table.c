// SPDX-License-Identifier: Apache-2.0
#include "epoll_table.h"

#include <linux/errno.h>

#define BUCKETS 8192 /* a power of two */
#define HASH_MULTIPLIER 0x9e3779b1u

struct registration {
    uint64_t data;
    struct epoll_key key;
    uint32_t generation; /* odd while in use */
    uint32_t next; /* of the bucket or of the free list; indices count from 1, 0 ends a list */
};

/* Lies in the LibOS heap, whose pages are zero at first. Guarded by fd_lock. */
struct epoll_table {
    uint32_t used; /* entries that were ever in use */
    uint32_t free;
    uint32_t buckets[BUCKETS];
    struct registration entries[EPOLL_REGISTRATIONS_MAX];
};
_Static_assert(sizeof(struct epoll_table) <= LIBOS_HEAP_SIZE, "LibOS heap");

static struct epoll_table *epoll_table(const struct compartment *compartment)
{
    return (struct epoll_table *)(compartment->base + LIBOS_HEAP_OFFSET);
}

static void lock_for_change(struct compartment *compartment)
{
    spin_lock(&compartment->fd_lock);
    spin_begin_change(&compartment->fd_lock);
}

static void unlock_after_change(struct compartment *compartment)
{
    spin_end_change(&compartment->fd_lock);
    spin_unlock(&compartment->fd_lock);
}

static uint64_t make_cookie(const struct epoll_table *table, uint32_t index)
{
    return (uint64_t)table->entries[index - 1].generation << 32 | index;
}

/* Index of the entry in use that the cookie names, or 0. */
static uint32_t find_cookie(const struct epoll_table *table, uint64_t cookie)
{
    uint32_t index = cookie, generation = cookie >> 32;

    if (!index || index > table->used || !(generation & 1))
        return 0;
    return table->entries[index - 1].generation == generation ? index : 0;
}

static uint32_t *bucket(struct epoll_table *table, const struct epoll_key *key)
{
    uint32_t hash = (key->epoll * HASH_MULTIPLIER + key->descriptor) * HASH_MULTIPLIER;

    return &table->buckets[hash / (UINT32_MAX / BUCKETS + 1)];
}

static int same_key(const struct epoll_key *a, const struct epoll_key *b)
{
    return a->epoll == b->epoll && a->descriptor == b->descriptor;
}

/* The link that leads to the entry with this key; what it holds is 0 if there is none. */
static uint32_t *find_link(struct epoll_table *table, const struct epoll_key *key)
{
    uint32_t *link = bucket(table, key);

    while (*link && !same_key(&table->entries[*link - 1].key, key))
        link = &table->entries[*link - 1].next;
    return link;
}

static void release(struct epoll_table *table, uint32_t index)
{
    struct registration *entry = &table->entries[index - 1];

    entry->generation++;
    entry->data = 0;
    entry->next = table->free;
    table->free = index;
}

static void unlink_and_release(struct epoll_table *table, uint32_t *link)
{
    uint32_t index = *link;

    *link = table->entries[index - 1].next;
    release(table, index);
}

void epoll_table_forget(struct compartment *compartment, uint32_t epoll)
{
    struct epoll_table *table = epoll_table(compartment);

    lock_for_change(compartment);
    for (uint32_t i = 0; table->used && i < BUCKETS; i++) {
        uint32_t *link = &table->buckets[i];
        while (*link) {
            if (table->entries[*link - 1].key.epoll == epoll)
                unlink_and_release(table, link);
            else
                link = &table->entries[*link - 1].next;
        }
    }
    unlock_after_change(compartment);
}

long epoll_table_reserve(struct compartment *compartment, const struct epoll_key *key, uint64_t data, uint64_t *cookie)
{
    struct epoll_table *table = epoll_table(compartment);
    uint32_t index = 0;

    lock_for_change(compartment);
    if (table->free) {
        index = table->free;
        table->free = table->entries[index - 1].next;
    } else if (table->used < EPOLL_REGISTRATIONS_MAX) {
        index = ++table->used;
    }
    if (index) {
        struct registration *entry = &table->entries[index - 1];
        entry->generation++;
        entry->data = data;
        entry->key = *key;
        *cookie = make_cookie(table, index);
    }
    unlock_after_change(compartment);
    return index ? 0 : -ENOSPC;
}

void epoll_table_commit(struct compartment *compartment, uint64_t cookie)
{
    struct epoll_table *table = epoll_table(compartment);
    uint32_t index = cookie;
    struct registration *entry = &table->entries[index - 1];

    lock_for_change(compartment);
    uint32_t *link = find_link(table, &entry->key);
    if (*link)
        unlink_and_release(table, link);
    link = bucket(table, &entry->key);
    entry->next = *link;
    *link = index;
    unlock_after_change(compartment);
}

void epoll_table_cancel(struct compartment *compartment, uint64_t cookie)
{
    lock_for_change(compartment);
    release(epoll_table(compartment), cookie);
    unlock_after_change(compartment);
}

long epoll_table_change(struct compartment *compartment, const struct epoll_key *key, uint64_t data, uint64_t *cookie,
                        uint64_t *former)
{
    struct epoll_table *table = epoll_table(compartment);

    lock_for_change(compartment);
    uint32_t index = *find_link(table, key);
    if (index) {
        *former = table->entries[index - 1].data;
        table->entries[index - 1].data = data;
        *cookie = make_cookie(table, index);
    }
    unlock_after_change(compartment);
    return index ? 0 : -ENOENT;
}

void epoll_table_remove(struct compartment *compartment, const struct epoll_key *key)
{
    struct epoll_table *table = epoll_table(compartment);

    lock_for_change(compartment);
    uint32_t *link = find_link(table, key);
    if (*link)
        unlink_and_release(table, link);
    unlock_after_change(compartment);
}

static int has_registrations(const struct epoll_table *table, uint32_t epoll)
{
    for (uint32_t i = 0; i < table->used; i++)
        if (table->entries[i].generation & 1 && table->entries[i].key.epoll == epoll)
            return 1;
    return 0;
}

long epoll_table_data(struct compartment *compartment, uint32_t epoll, uint64_t cookie, uint64_t *data)
{
    const struct epoll_table *table = epoll_table(compartment);

    spin_lock(&compartment->fd_lock);
    uint32_t index = find_cookie(table, cookie);
    /* A number without registrations of its own is a duplicate of another: then all that are known will do. */
    if (index && table->entries[index - 1].key.epoll != epoll && has_registrations(table, epoll))
        index = 0;
    if (index)
        *data = table->entries[index - 1].data;
    spin_unlock(&compartment->fd_lock);
    return index ? 0 : -ENOENT;
}
