/* SPDX-License-Identifier: GPL-2.0 */
/* A lease: which pages and TCSs of an enclave the holder of one file may map. */
#ifndef TEEMATE_LEASE_H
#define TEEMATE_LEASE_H

#include <linux/fs.h>
#include <linux/interval_tree.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/rwsem.h>
#include <linux/workqueue.h>

#include "uapi/teemate.h"

struct enclave_tcs;
struct teemate_enclave;

struct lease_range {
	struct interval_tree_node node; /* numbers of the first and last page; in enclave.ranges while live */
	struct enclave_lease *lease;
	u32 flags; /* TEEMATE_RANGE_* */
	u32 prot; /* VM_READ | VM_WRITE | VM_EXEC */
};

/* An address space that has mapped the lease */
struct lease_mm {
	struct list_head link;
	struct mm_struct *mm; /* mmgrab'ed */
};

enum lease_state {
	LEASE_UNBORN, /* on no book yet */
	LEASE_LIVE,
	LEASE_ENDED,
};

struct enclave_lease {
	struct kref ref; /* of the file, and of who ends the lease */
	struct teemate_enclave *enclave;
	struct file *file; /* no reference; NULL once it is being released; under enclave.lock */
	struct inode *inode; /* of the file; its mapping finds every VMA */
	struct list_head link; /* in enclave.leases while live; under enclave.lock */

	u64 id;
	u64 cookie;
	u64 page_limit;
	u32 flags; /* TEEMATE_LEASE_* */

	/* Constant; sorted by address */
	struct lease_range *ranges;
	unsigned int range_count;
	struct enclave_tcs **tcs;
	unsigned int tcs_count;

	struct rw_semaphore lock;
	enum lease_state state;
	struct list_head mms;
	atomic_long_t page_count; /* live pages in private ranges that this lease added */
	atomic_long_t refused_count;

	u32 end_flags; /* of the event of its end */
	struct work_struct end_work;
};

/* lease.c */
struct teemate_lease_info lease_info(const struct enclave_lease *lease);
long lease_create(struct teemate_enclave *enclave, void __user *arg, size_t size);
struct enclave_lease *lease_find(struct teemate_enclave *enclave, u64 id);
void lease_put(struct enclave_lease *lease);
void lease_forget_file(struct enclave_lease *lease);
long lease_duplicate(struct teemate_enclave *enclave, void __user *arg, size_t size);

/* lease_end.c */
int lease_workers_init(void);
void lease_workers_exit(void);
bool lease_end(struct enclave_lease *lease, u32 event_flags);
void lease_end_all(struct teemate_enclave *enclave);
long lease_revoke(struct teemate_enclave *enclave, const void __user *arg, size_t size);

/* lease_ranges.c */
int lease_read_ranges(struct enclave_lease *lease, const struct teemate_lease *request);
int lease_read_tcs(struct enclave_lease *lease, const struct teemate_lease *request);
int lease_occupy(struct enclave_lease *lease);
void lease_vacate(struct enclave_lease *lease);
const struct lease_range *lease_range_at(const struct enclave_lease *lease, unsigned long page);
bool lease_holds_tcs(const struct enclave_lease *lease, unsigned long page);
int lease_may_map(const struct enclave_lease *lease, unsigned long first, unsigned long last, unsigned long prot,
		  unsigned long *prot_max);

/* lease_file.c */
struct file *lease_new_file(struct enclave_lease *lease);
void teemate_unpin_fs(void);

/* lease_mmap.c */
int lease_mmap(struct file *file, struct vm_area_struct *vma);
unsigned long lease_get_unmapped_area(struct file *file, unsigned long address, unsigned long length,
				      unsigned long page_offset, unsigned long flags);

/* lease_trim.c */
long lease_trim(struct enclave_lease *lease, loff_t offset, loff_t length);

#endif
