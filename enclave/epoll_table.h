/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the program wants back with an event (epoll_data) is mostly a pointer, so the host must not choose it.
 * The LibOS keeps it here and gives the host a cookie instead; an event with a cookie that this table does
 * not know is no event.
 *
 * Registrations are found by the numbers of both descriptors. They outlive a close, as the kernel's may:
 * they are replaced when the numbers are used again, and forgotten when the epoll descriptor's number is.
 */
#ifndef TEEMATE_EPOLL_TABLE_H
#define TEEMATE_EPOLL_TABLE_H
#include <stdint.h>

#include "compartment.h"

#define EPOLL_REGISTRATIONS_MAX 131072

struct epoll_key {
    uint32_t epoll, descriptor;
};

/* A new epoll descriptor: what was registered with its number is gone. */
void epoll_table_forget(struct compartment *compartment, uint32_t epoll);

/* A registration that cannot be found yet, since the host may refuse it. 0, its cookie set, or -ENOSPC. */
long epoll_table_reserve(struct compartment *compartment, const struct epoll_key *key, uint64_t data, uint64_t *cookie);

/* The host took it: it replaces the one with the same key. Or the host refused it. */
void epoll_table_commit(struct compartment *compartment, uint64_t cookie);
void epoll_table_cancel(struct compartment *compartment, uint64_t cookie);

/* Change the data of a registration. 0, its cookie and former data set, or -ENOENT. */
long epoll_table_change(struct compartment *compartment, const struct epoll_key *key, uint64_t data, uint64_t *cookie,
                        uint64_t *former);

void epoll_table_remove(struct compartment *compartment, const struct epoll_key *key);

/* The data of an event that the host reports on `epoll`. 0 or -ENOENT. */
long epoll_table_data(struct compartment *compartment, uint32_t epoll, uint64_t cookie, uint64_t *data);
#endif
