// SPDX-License-Identifier: GPL-2.0
/* What an enclave's daemon is told: bounded, and never lost without saying so. */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "events.h"

static_assert((TEEMATE_EVENTS_MAX & (TEEMATE_EVENTS_MAX - 1)) == 0);

/**
 * events_init() - Make a queue, with all the memory that it will ever need.
 * @queue: to be initialized
 *
 * Return: 0, or -ENOMEM.
 */
int events_init(struct event_queue *queue)
{
	spin_lock_init(&queue->lock);
	init_waitqueue_head(&queue->readers);
	queue->ring = kvcalloc(TEEMATE_EVENTS_MAX, sizeof(*queue->ring), GFP_KERNEL_ACCOUNT);
	return queue->ring ? 0 : -ENOMEM;
}

/**
 * events_destroy() - Give back a queue's memory.
 * @queue: that nobody uses any more
 */
void events_destroy(struct event_queue *queue)
{
	kvfree(queue->ring);
}

static bool events_waiting(struct event_queue *queue)
{
	bool waiting;

	spin_lock(&queue->lock);
	waiting = queue->head != queue->tail || queue->lost;
	spin_unlock(&queue->lock);
	return waiting;
}

/**
 * events_post() - Queue an event, or count it as lost if too many wait unread.
 * @queue: of the enclave
 * @event: is copied
 *
 * Context: Any but interrupt. Does not sleep or allocate.
 */
void events_post(struct event_queue *queue, const struct teemate_event *event)
{
	spin_lock(&queue->lock);
	/* Once some are lost, all are until the reader has been told: the order of events stays true */
	if (queue->lost || queue->head - queue->tail == TEEMATE_EVENTS_MAX) {
		queue->lost++;
		queue->lost_total++;
	} else {
		queue->ring[queue->head++ % TEEMATE_EVENTS_MAX] = *event;
	}
	spin_unlock(&queue->lock);
	wake_up_interruptible(&queue->readers);
}

static bool events_take(struct event_queue *queue, struct teemate_event *event)
{
	bool taken = true;

	spin_lock(&queue->lock);
	if (queue->head != queue->tail) {
		*event = queue->ring[queue->tail++ % TEEMATE_EVENTS_MAX];
	} else if (queue->lost) {
		*event = (struct teemate_event){ .type = TEEMATE_EVENT_OVERFLOW, .count = queue->lost };
		queue->lost = 0;
	} else {
		taken = false;
	}
	spin_unlock(&queue->lock);
	return taken;
}

/* An event that could not be delivered counts as lost: another reader may have emptied the queue meanwhile. */
static void events_untake(struct event_queue *queue, const struct teemate_event *event)
{
	u64 lost = event->type == TEEMATE_EVENT_OVERFLOW ? event->count : 1;

	spin_lock(&queue->lock);
	queue->lost += lost;
	if (event->type != TEEMATE_EVENT_OVERFLOW)
		queue->lost_total++;
	spin_unlock(&queue->lock);
}

/**
 * events_read() - read(2) on an enclave descriptor.
 * @queue: of the enclave
 * @file: its flags say whether to wait
 * @buffer: takes as many whole events as there are and fit
 * @size: of the buffer
 *
 * Return: bytes, or -errno.
 */
ssize_t events_read(struct event_queue *queue, struct file *file, char __user *buffer, size_t size)
{
	struct teemate_event event;
	size_t done = 0;
	int ret;

	if (size < sizeof(event))
		return -EINVAL;

	while (size - done >= sizeof(event)) {
		if (!events_take(queue, &event)) {
			if (done)
				break;
			if (file->f_flags & O_NONBLOCK)
				return -EAGAIN;
			ret = wait_event_interruptible(queue->readers, events_waiting(queue));
			if (ret)
				return ret;
			continue;
		}
		if (copy_to_user(buffer + done, &event, sizeof(event))) {
			events_untake(queue, &event);
			return done ?: -EFAULT;
		}
		done += sizeof(event);
	}
	return done;
}

/**
 * events_poll() - poll(2) on an enclave descriptor.
 * @queue: of the enclave
 * @file: that is polled
 * @table: of the poll
 *
 * Return: the mask of what may be done without waiting.
 */
__poll_t events_poll(struct event_queue *queue, struct file *file, poll_table *table)
{
	poll_wait(file, &queue->readers, table);
	return events_waiting(queue) ? EPOLLIN | EPOLLRDNORM : 0;
}

/**
 * events_lost() - How many events were lost since the queue was made.
 * @queue: of the enclave
 *
 * Return: the count.
 */
u64 events_lost(struct event_queue *queue)
{
	u64 lost;

	spin_lock(&queue->lock);
	lost = queue->lost_total;
	spin_unlock(&queue->lock);
	return lost;
}
