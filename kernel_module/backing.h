/* SPDX-License-Identifier: GPL-2.0 */
/* Hardware EPC: the kernel's SGX driver owns the pages; leases chain to its file. */
#ifndef TEEMATE_BACKING_H
#define TEEMATE_BACKING_H

#include <linux/fs.h>

struct enclave_lease;

struct file *backing_get(int fd);
long backing_ioctl(struct file *backing, unsigned int command, unsigned long arg);
int backing_mmap(struct file *backing, struct vm_area_struct *vma);
void backing_disarm(struct enclave_lease *lease);
bool backing_settle(struct enclave_lease *lease, bool wait);

#endif
