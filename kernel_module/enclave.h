/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An enclave, as its descriptors and its leases share it.
 *
 * Lock order (an inner one never takes an outer one):
 *
 *	enclave.build_lock	construction; copies from user space under it
 *	  mmap_lock
 *	    lease.lock		read in the fault handler; write to end, trim or gain an address space
 *	      i_mmap_rwsem, page table locks, xa_lock of enclave.initial and enclave.live
 *	enclave.lock		who holds what; nothing that faults, allocates or sleeps long under it
 *	  events.lock
 *
 * enclave.lock and lease.lock are never held together: the end of a lease closes it under its own lock,
 * works without any, and then takes it off the enclave's books. It takes i_mmap_rwsem of the lease's inode without
 * mmap_lock, and of mmap_lock only what is free: whoever waits for that, a worker, holds nothing.
 */
#ifndef TEEMATE_ENCLAVE_H
#define TEEMATE_ENCLAVE_H

#include <asm/sgx.h>
#include <linux/fs.h>
#include <linux/interval_tree.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/xarray.h>

#include "events.h"
#include "measure.h"

struct enclave_lease;

/* Of SECS and SIGSTRUCT, what leases have no use for */
struct enclave_identity {
	u32 ssa_frame_pages;
	u16 isv_prod_id;
	u16 isv_svn;
	u16 config_svn;
	u8 config_id[64];
	u8 family_id[16];
	u8 ext_prod_id[16];
};

enum enclave_state {
	ENCLAVE_NEW,
	ENCLAVE_CREATED,
	ENCLAVE_INITIALIZED,
};

/* Adjacent pages added with the same SECINFO. Page numbers count from the enclave's base. */
struct enclave_segment {
	unsigned long first;
	unsigned long last;
	u8 prot; /* VM_READ | VM_WRITE | VM_EXEC */
	bool tcs;
};

/* A TCS page and the lease that holds it */
struct enclave_tcs {
	unsigned long page;
	struct enclave_lease *holder;
};

/* In an xarray of pages: a page of zeros that takes no memory */
#define EPC_ZERO_PAGE xa_mk_value(0)

struct teemate_enclave {
	struct kref ref;
	struct mutex build_lock; /* construction */
	u64 last_lease_id; /* under build_lock */

	/* Under build_lock until the state is INITIALIZED, then constant */
	enum enclave_state state; /* written with release, read with acquire outside build_lock */
	u64 base;
	u64 size;
	u64 attributes;
	u64 xfrm;
	u32 miscselect;
	struct enclave_identity identity;
	u32 setup_flags;
	u64 page_limit;
	bool created_failed; /* the backing driver refused half-way: nothing more can be built */
	struct file *backing;
	struct measurement measurement;
	u8 mrenclave[SHA256_DIGEST_SIZE];
	u8 mrsigner[SHA256_DIGEST_SIZE];
	struct enclave_segment *segments; /* sorted once INITIALIZED */
	unsigned long segment_count;
	unsigned long segment_capacity;
	struct enclave_tcs *tcs; /* sorted; made by INIT; holders under lock */
	unsigned long tcs_count;

	/*
	 * Emulated EPC. @initial: what was added, struct page * or EPC_ZERO_PAGE; constant once INITIALIZED.
	 * @live: pages written since or grown; these come and go.
	 */
	struct xarray initial;
	struct xarray live;
	atomic_long_t page_count;

	struct mutex lock; /* all that follows */
	struct list_head leases;
	unsigned int lease_count;
	struct rb_root_cached ranges; /* of all leases in the list */
	unsigned int controllers; /* open enclave descriptors */
	bool dead; /* the last controller has gone, and its leases with it */

	struct event_queue events;
};

static inline bool enclave_is_emulated(const struct teemate_enclave *enclave)
{
	return !enclave->backing;
}

static inline bool enclave_is_initialized(const struct teemate_enclave *enclave)
{
	/* pairs with enclave_set_initialized() */
	return smp_load_acquire(&enclave->state) == ENCLAVE_INITIALIZED;
}

struct teemate_enclave *enclave_alloc(void);
void enclave_put(struct teemate_enclave *enclave);
int enclave_add_controller(struct teemate_enclave *enclave);
void enclave_drop_controller(struct teemate_enclave *enclave);

int enclave_add_segment(struct teemate_enclave *enclave, const struct enclave_segment *segment);
int enclave_index_segments(struct teemate_enclave *enclave);
void enclave_set_initialized(struct teemate_enclave *enclave);
const struct enclave_segment *enclave_next_segment(const struct teemate_enclave *enclave, unsigned long page);
struct enclave_tcs *enclave_next_tcs(const struct teemate_enclave *enclave, unsigned long page);

/* build_*.c: the construction ioctls */
long enclave_setup(struct teemate_enclave *enclave, const void __user *arg, size_t size);
long enclave_create(struct teemate_enclave *enclave, unsigned long arg);
long enclave_add_pages(struct teemate_enclave *enclave, unsigned long arg);
long enclave_init(struct teemate_enclave *enclave, unsigned long arg);

/* debug_write.c */
long enclave_debug_write(struct teemate_enclave *enclave, const void __user *arg, size_t size);

/* controller.c: enclave descriptors */
extern const struct file_operations teemate_enclave_fops;
struct file *enclave_new_file(struct teemate_enclave *enclave);

#endif
