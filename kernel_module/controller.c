// SPDX-License-Identifier: GPL-2.0
/* Enclave descriptors: what the daemon holds. */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/uaccess.h>
#include <uapi/asm/sgx.h>

#include "enclave.h"
#include "epc.h"
#include "lease.h"
#include "user_struct.h"

static long enclave_info(struct teemate_enclave *enclave, void __user *arg, size_t size)
{
	struct teemate_info info = {
		.epc_pages = epc_in_use(),
		.epc_limit = epc_limit(),
		.pages = atomic_long_read(&enclave->page_count),
		.events_lost = events_lost(&enclave->events),
	};

	mutex_lock(&enclave->build_lock);
	info.page_limit = enclave->page_limit;
	info.base = enclave->base;
	info.size = enclave->size;
	if (enclave->state == ENCLAVE_INITIALIZED)
		info.flags |= TEEMATE_ENCLAVE_INITIALIZED;
	if (enclave_is_emulated(enclave))
		info.flags |= TEEMATE_ENCLAVE_EMULATED;
	memcpy(info.mrenclave, enclave->mrenclave, sizeof(info.mrenclave));
	memcpy(info.mrsigner, enclave->mrsigner, sizeof(info.mrsigner));
	mutex_unlock(&enclave->build_lock);

	mutex_lock(&enclave->lock);
	info.leases = enclave->lease_count;
	mutex_unlock(&enclave->lock);
	return user_struct_put(arg, size, &info, sizeof(info));
}

static long enclave_lease_info(struct teemate_enclave *enclave, void __user *arg, size_t size)
{
	struct teemate_lease_info info;
	struct enclave_lease *lease;
	long ret;

	ret = user_struct_get(&info, sizeof(info), arg, size);
	if (ret)
		return ret;
	lease = lease_find(enclave, info.id);
	if (!lease)
		return -ENOENT;
	info = lease_info(lease);
	lease_put(lease);
	return user_struct_put(arg, size, &info, sizeof(info));
}

static long teemate_ioctl(struct teemate_enclave *enclave, unsigned int command, void __user *arg)
{
	size_t size = _IOC_SIZE(command);

	switch (_IOC_NR(command)) {
	case _IOC_NR(TEEMATE_IOC_SETUP):
		return enclave_setup(enclave, arg, size);
	case _IOC_NR(TEEMATE_IOC_LEASE):
		return lease_create(enclave, arg, size);
	case _IOC_NR(TEEMATE_IOC_REVOKE):
		return lease_revoke(enclave, arg, size);
	case _IOC_NR(TEEMATE_IOC_LEASE_INFO):
		return enclave_lease_info(enclave, arg, size);
	case _IOC_NR(TEEMATE_IOC_LEASE_FD):
		return lease_duplicate(enclave, arg, size);
	case _IOC_NR(TEEMATE_IOC_INFO):
		return enclave_info(enclave, arg, size);
	case _IOC_NR(TEEMATE_IOC_DEBUG_WRITE):
		return enclave_debug_write(enclave, arg, size);
	default:
		return -ENOTTY;
	}
}

static long enclave_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	struct teemate_enclave *enclave = file->private_data;

	switch (command) {
	case SGX_IOC_ENCLAVE_CREATE:
		return enclave_create(enclave, arg);
	case SGX_IOC_ENCLAVE_ADD_PAGES:
		return enclave_add_pages(enclave, arg);
	case SGX_IOC_ENCLAVE_INIT:
		return enclave_init(enclave, arg);
	default:
		if (_IOC_TYPE(command) != TEEMATE_IOC_MAGIC)
			return -ENOTTY;
		return teemate_ioctl(enclave, command, (void __user *)arg);
	}
}

static int enclave_open(struct inode *inode, struct file *file)
{
	struct teemate_enclave *enclave = enclave_alloc();
	int ret;

	if (IS_ERR(enclave))
		return PTR_ERR(enclave);
	ret = enclave_add_controller(enclave);
	enclave_put(enclave);
	if (!ret)
		file->private_data = enclave;
	return ret;
}

static int enclave_release(struct inode *inode, struct file *file)
{
	enclave_drop_controller(file->private_data);
	return 0;
}

static ssize_t enclave_read(struct file *file, char __user *buffer, size_t size, loff_t *position)
{
	struct teemate_enclave *enclave = file->private_data;

	return events_read(&enclave->events, file, buffer, size);
}

static __poll_t enclave_poll(struct file *file, poll_table *table)
{
	struct teemate_enclave *enclave = file->private_data;

	return events_poll(&enclave->events, file, table);
}

const struct file_operations teemate_enclave_fops = {
	.owner = THIS_MODULE,
	.open = enclave_open,
	.release = enclave_release,
	.read = enclave_read,
	.poll = enclave_poll,
	.unlocked_ioctl = enclave_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/**
 * enclave_new_file() - Make one more file that controls an enclave.
 * @enclave: any
 *
 * Return: the file or an ERR_PTR.
 */
struct file *enclave_new_file(struct teemate_enclave *enclave)
{
	struct file *file;
	int ret;

	ret = enclave_add_controller(enclave);
	if (ret)
		return ERR_PTR(ret);
	file = anon_inode_getfile("[teemate-enclave]", &teemate_enclave_fops, enclave, O_RDWR);
	if (IS_ERR(file))
		enclave_drop_controller(enclave);
	return file;
}
