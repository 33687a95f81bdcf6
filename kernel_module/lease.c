// SPDX-License-Identifier: GPL-2.0
/* Birth of a lease, and how it is found. Its end is in lease_end.c. */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "compat.h"
#include "enclave.h"
#include "lease.h"
#include "user_struct.h"

static unsigned int lease_limit = 4096;
module_param(lease_limit, uint, 0644);
MODULE_PARM_DESC(lease_limit, "Live leases that one enclave may have (default: 4096)");

static void lease_free(struct kref *ref)
{
	struct enclave_lease *lease = container_of(ref, struct enclave_lease, ref);
	struct lease_mm *seen, *next;

	list_for_each_entry_safe(seen, next, &lease->mms, link) {
		mmdrop(seen->mm);
		kfree(seen);
	}
	if (lease->inode) {
		iput(lease->inode);
		teemate_unpin_fs();
	}
	kfree(lease->ranges);
	kvfree(lease->tcs);
	enclave_put(lease->enclave);
	kfree(lease);
}

/**
 * lease_put() - Drop a reference.
 * @lease: whose reference the caller gives up
 *
 * Context: Process context, may sleep.
 */
void lease_put(struct enclave_lease *lease)
{
	kref_put(&lease->ref, lease_free);
}

/**
 * lease_find() - Find a live lease by its number.
 * @enclave: that it is of
 * @id: of the lease
 *
 * Return: the lease, with a reference for the caller, or NULL.
 */
struct enclave_lease *lease_find(struct teemate_enclave *enclave, u64 id)
{
	struct enclave_lease *lease, *found = NULL;

	mutex_lock(&enclave->lock);
	list_for_each_entry(lease, &enclave->leases, link) {
		if (lease->id == id) {
			/* The list's leases are not freed before they are taken off it */
			kref_get(&lease->ref);
			found = lease;
			break;
		}
	}
	mutex_unlock(&enclave->lock);
	return found;
}

static struct enclave_lease *lease_alloc(struct teemate_enclave *enclave, const struct teemate_lease *request)
{
	struct enclave_lease *lease = kzalloc(sizeof(*lease), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!lease)
		return ERR_PTR(-ENOMEM);
	kref_init(&lease->ref);
	kref_get(&enclave->ref);
	lease->enclave = enclave;
	INIT_LIST_HEAD(&lease->link);
	INIT_LIST_HEAD(&lease->mms);
	init_rwsem(&lease->lock);
	lease->flags = request->flags;
	lease->page_limit = request->page_limit;
	lease->cookie = request->cookie;

	ret = lease_read_ranges(lease, request);
	if (!ret)
		ret = lease_read_tcs(lease, request);
	if (ret) {
		lease_put(lease);
		return ERR_PTR(ret);
	}
	return lease;
}

/* From here on the lease is in force */
static int lease_publish(struct enclave_lease *lease)
{
	struct teemate_enclave *enclave = lease->enclave;
	int ret;

	mutex_lock(&enclave->lock);
	if (enclave->dead)
		ret = -ENODEV;
	else if (enclave->lease_count >= READ_ONCE(lease_limit))
		ret = -ENOSPC;
	else
		ret = lease_occupy(lease);
	if (!ret) {
		lease->state = LEASE_LIVE;
		list_add_tail(&lease->link, &enclave->leases);
		enclave->lease_count++;
	}
	mutex_unlock(&enclave->lock);
	return ret;
}

static u64 next_lease_id(struct teemate_enclave *enclave)
{
	u64 id;

	/* Waits for an enclave_debug_write() that found no lease: what it writes is there before the lease is */
	mutex_lock(&enclave->build_lock);
	id = ++enclave->last_lease_id;
	mutex_unlock(&enclave->build_lock);
	return id;
}

/**
 * lease_create() - TEEMATE_IOC_LEASE.
 * @enclave: that the lease is of
 * @arg: struct teemate_lease of the caller's version
 * @size: of the caller's version
 *
 * Return: 0 or -errno.
 */
long lease_create(struct teemate_enclave *enclave, void __user *arg, size_t size)
{
	struct teemate_lease request;
	struct enclave_lease *lease;
	struct file *file;
	long ret;

	ret = user_struct_get(&request, sizeof(request), arg, size);
	if (ret)
		return ret;
	if (request.flags & ~TEEMATE_LEASE_SINGLE_MM || request.reserved || request.reserved2 || request.id ||
	    request.fd || !(request.range_count | request.tcs_count) || !enclave_is_initialized(enclave))
		return -EINVAL;

	lease = lease_alloc(enclave, &request);
	if (IS_ERR(lease))
		return PTR_ERR(lease);
	file = lease_new_file(lease);
	if (IS_ERR(file)) {
		lease_put(lease);
		return PTR_ERR(file);
	}
	/* The file has taken over the reference: from here fput() undoes everything */
	request.fd = get_unused_fd_flags(O_CLOEXEC);
	if (request.fd < 0) {
		ret = request.fd;
		goto put_file;
	}
	/* Told before it exists, so that nothing can fail after it does */
	lease->id = next_lease_id(enclave);
	request.id = lease->id;
	ret = user_struct_put(arg, size, &request, sizeof(request));
	if (!ret)
		ret = lease_publish(lease);
	if (ret)
		goto put_fd;
	fd_install(request.fd, file);
	return 0;

put_fd:
	put_unused_fd(request.fd);
put_file:
	fput(file);
	return ret;
}

/* The file of a live lease, with a reference; NULL if it has ended or is about to */
static struct file *lease_get_file(struct teemate_enclave *enclave, u64 id)
{
	struct enclave_lease *lease;
	struct file *file = NULL;

	mutex_lock(&enclave->lock);
	list_for_each_entry(lease, &enclave->leases, link) {
		if (lease->id == id) {
			/* Its release takes the lock before the file goes away */
			if (READ_ONCE(lease->state) == LEASE_LIVE && lease->file && get_file_if_used(lease->file))
				file = lease->file;
			break;
		}
	}
	mutex_unlock(&enclave->lock);
	return file;
}

/**
 * lease_forget_file() - The file of a lease goes away.
 * @lease: whose file is being released
 *
 * The lease may still be on the enclave's list, if another task ends it just now.
 */
void lease_forget_file(struct enclave_lease *lease)
{
	mutex_lock(&lease->enclave->lock);
	lease->file = NULL;
	mutex_unlock(&lease->enclave->lock);
}

/**
 * lease_info() - What there is to say of a lease.
 * @lease: any
 *
 * Return: the answer to TEEMATE_IOC_LEASE_INFO.
 */
struct teemate_lease_info lease_info(const struct enclave_lease *lease)
{
	return (struct teemate_lease_info){
		.id = lease->id,
		.cookie = lease->cookie,
		.pages = atomic_long_read(&lease->page_count),
		.page_limit = lease->page_limit,
		.refused = atomic_long_read(&lease->refused_count),
		.flags = READ_ONCE(lease->state) == LEASE_ENDED ? TEEMATE_LEASE_ENDED : 0,
	};
}

/**
 * lease_duplicate() - TEEMATE_IOC_LEASE_FD.
 * @enclave: that the lease is of
 * @arg: struct teemate_lease_fd of the caller's version
 * @size: of the caller's version
 *
 * Return: 0 or -errno.
 */
long lease_duplicate(struct teemate_enclave *enclave, void __user *arg, size_t size)
{
	struct teemate_lease_fd request;
	struct file *file;
	long ret;

	ret = user_struct_get(&request, sizeof(request), arg, size);
	if (ret)
		return ret;
	if (request.fd || request.reserved)
		return -EINVAL;
	file = lease_get_file(enclave, request.id);
	if (!file)
		return -ENOENT;
	return user_struct_put_file(arg, size, &request, sizeof(request), file, &request.fd);
}
