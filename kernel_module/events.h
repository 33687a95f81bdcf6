/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TEEMATE_EVENTS_H
#define TEEMATE_EVENTS_H

#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "uapi/teemate.h"

/*
 * Bounded queue of events that wait to be read. Its memory is taken with the enclave, so that the end
 * of a lease can always tell.
 */
struct event_queue {
	spinlock_t lock; /* all that follows */
	struct teemate_event *ring; /* TEEMATE_EVENTS_MAX entries */
	unsigned int head; /* free-running; where the next event goes */
	unsigned int tail; /* free-running; the oldest unread event */
	u64 lost; /* since the last OVERFLOW event */
	u64 lost_total;
	wait_queue_head_t readers;
};

int events_init(struct event_queue *queue);
void events_destroy(struct event_queue *queue);
void events_post(struct event_queue *queue, const struct teemate_event *event);
ssize_t events_read(struct event_queue *queue, struct file *file, char __user *buffer, size_t size);
__poll_t events_poll(struct event_queue *queue, struct file *file, poll_table *table);
u64 events_lost(struct event_queue *queue);

#endif
