// SPDX-License-Identifier: GPL-2.0
/* The end of a lease: of its own, or revoked. */
#include <linux/mm.h>
#include <linux/workqueue.h>

#include "backing.h"
#include "enclave.h"
#include "epc.h"
#include "lease.h"
#include "user_struct.h"

/* Do what is left of ends that a holder delays */
static struct workqueue_struct *lease_workers;

/*
 * Give back the pages that only this lease could map, those of private ranges and TCSs, unless their content is
 * to be kept. Nothing maps them any more.
 */
static unsigned long lease_erase(struct enclave_lease *lease)
{
	struct teemate_enclave *enclave = lease->enclave;
	unsigned long erased = 0;
	unsigned int i;

	/* Those in ranges that are not kept are found twice, but erased once */
	for (i = 0; i < lease->tcs_count; i++) {
		const struct lease_range *range = lease_range_at(lease, lease->tcs[i]->page);

		if (!range || !(range->flags & TEEMATE_RANGE_KEEP))
			erased += epc_free_all(enclave, &enclave->live, lease->tcs[i]->page, lease->tcs[i]->page);
	}

	for (i = 0; i < lease->range_count; i++) {
		struct lease_range *range = &lease->ranges[i];

		if (range->flags & TEEMATE_RANGE_PRIVATE && !(range->flags & TEEMATE_RANGE_KEEP))
			erased += epc_free_all(enclave, &enclave->live, range->node.start, range->node.last);
	}
	return erased;
}

/* Nothing maps the lease, or ever will: others may have what it held. */
static void lease_finish(struct enclave_lease *lease)
{
	struct teemate_enclave *enclave = lease->enclave;
	struct teemate_event event = {
		.type = TEEMATE_EVENT_LEASE_END,
		.flags = lease->end_flags,
		.lease_id = lease->id,
		.cookie = lease->cookie,
		.count = lease_erase(lease),
	};

	mutex_lock(&enclave->lock);
	lease_vacate(lease);
	list_del_init(&lease->link);
	enclave->lease_count--;
	events_post(&enclave->events, &event);
	mutex_unlock(&enclave->lock);
}

static void finish_later(struct work_struct *work)
{
	struct enclave_lease *lease = container_of(work, struct enclave_lease, end_work);

	backing_settle(lease, true);
	lease_finish(lease);
	lease_put(lease);
}

/**
 * lease_end() - End a lease: unmap it everywhere, erase what was private, tell the daemon.
 * @lease: any; the caller holds a reference
 * @event_flags: TEEMATE_EVENT_REVOKED or 0
 *
 * No holder can make this wait. Over hardware a holder that sits in a page fault keeps its pages from others until it
 * is out of that; a worker then does the rest.
 *
 * Context: Process context, may sleep. Caller holds none of our locks.
 * Return: whether this call ended it.
 */
bool lease_end(struct enclave_lease *lease, u32 event_flags)
{
	bool live;

	down_write(&lease->lock);
	live = lease->state == LEASE_LIVE;
	lease->state = LEASE_ENDED;
	up_write(&lease->lock);
	if (!live)
		return false;

	lease->end_flags = event_flags;
	if (enclave_is_emulated(lease->enclave)) {
		/* Faults that saw it live have dropped the lock, so their page table entries are there to be found */
		unmap_mapping_range(lease->inode->i_mapping, 0, 0, 1);
	} else {
		backing_disarm(lease);
		if (!backing_settle(lease, false)) {
			kref_get(&lease->ref);
			INIT_WORK(&lease->end_work, finish_later);
			queue_work(lease_workers, &lease->end_work);
			return true;
		}
	}
	lease_finish(lease);
	return true;
}

/* A lease that nobody has begun to end, with a reference */
static struct enclave_lease *first_live(struct teemate_enclave *enclave)
{
	struct enclave_lease *lease, *found = NULL;

	mutex_lock(&enclave->lock);
	list_for_each_entry(lease, &enclave->leases, link) {
		if (READ_ONCE(lease->state) == LEASE_LIVE) {
			kref_get(&lease->ref);
			found = lease;
			break;
		}
	}
	mutex_unlock(&enclave->lock);
	return found;
}

/**
 * lease_end_all() - End every lease of an enclave.
 * @enclave: dead: no lease is added any more
 *
 * Context: As lease_end().
 */
void lease_end_all(struct teemate_enclave *enclave)
{
	struct enclave_lease *lease;

	while ((lease = first_live(enclave))) {
		lease_end(lease, TEEMATE_EVENT_REVOKED);
		lease_put(lease);
	}
}

/**
 * lease_revoke() - TEEMATE_IOC_REVOKE.
 * @enclave: that the lease is of
 * @arg: struct teemate_revoke of the caller's version
 * @size: of the caller's version
 *
 * Return: 0: ended, and its pages are free, or will be when its holder lets them (the event tells);
 * -ENOENT: had ended, or is ending, by itself.
 */
long lease_revoke(struct teemate_enclave *enclave, const void __user *arg, size_t size)
{
	struct teemate_revoke revoke;
	struct enclave_lease *lease;
	long ret;

	ret = user_struct_get(&revoke, sizeof(revoke), arg, size);
	if (ret)
		return ret;
	lease = lease_find(enclave, revoke.id);
	if (!lease)
		return -ENOENT;
	if (!lease_end(lease, TEEMATE_EVENT_REVOKED))
		ret = -ENOENT;
	lease_put(lease);
	return ret;
}

/**
 * lease_workers_init() - Before the first lease.
 *
 * Return: 0 or -ENOMEM.
 */
int lease_workers_init(void)
{
	lease_workers = alloc_workqueue("teemate", WQ_UNBOUND, 0);
	return lease_workers ? 0 : -ENOMEM;
}

/**
 * lease_workers_exit() - After the last lease. The worker that dropped it may not be quite out of our code.
 */
void lease_workers_exit(void)
{
	destroy_workqueue(lease_workers);
}
