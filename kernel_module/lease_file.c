// SPDX-License-Identifier: GPL-2.0
/*
 * The file of a lease. Each has an inode of its own: revoking unmaps by inode. The inodes live on a private
 * pseudo file system, which is pinned only while there are leases, since a superblock pins the module.
 */
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>

#include "compat.h"
#include "enclave.h"
#include "lease.h"
#include "user_struct.h"

#define TEEMATE_FS_MAGIC 0x74656d74

static struct vfsmount *fs_mount;
static int fs_pins;

static int fs_init_context(struct fs_context *context)
{
	return init_pseudo(context, TEEMATE_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type fs_type = {
	.owner = THIS_MODULE,
	.name = "teemate",
	.init_fs_context = fs_init_context,
	.kill_sb = kill_anon_super,
};

/* What could change such an inode (its size above all) has no meaning here */
static int refuse_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attributes)
{
	return -EPERM;
}

static const struct inode_operations lease_inode_operations = {
	.setattr = refuse_setattr,
};

/**
 * teemate_unpin_fs() - The inode of a lease is gone.
 */
void teemate_unpin_fs(void)
{
	simple_release_fs(&fs_mount, &fs_pins);
}

static int lease_release(struct inode *inode, struct file *file)
{
	struct enclave_lease *lease = file->private_data;

	lease_end(lease, 0);
	lease_forget_file(lease);
	lease_put(lease);
	return 0;
}

static long put_info(struct enclave_lease *lease, void __user *arg, size_t size)
{
	struct teemate_lease_info info = lease_info(lease);

	return user_struct_put(arg, size, &info, sizeof(info));
}

/* A daemon that lost its descriptors takes a lease's back from the container, and with it the enclave's. */
static long lease_enclave_fd(struct enclave_lease *lease, void __user *arg, size_t size)
{
	struct teemate_enclave_fd result = {};
	struct file *enclave_file;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	enclave_file = enclave_new_file(lease->enclave);
	if (IS_ERR(enclave_file))
		return PTR_ERR(enclave_file);
	return user_struct_put_file(arg, size, &result, sizeof(result), enclave_file, &result.fd);
}

static long lease_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	if (_IOC_TYPE(command) != TEEMATE_IOC_MAGIC)
		return -ENOTTY;
	switch (_IOC_NR(command)) {
	case _IOC_NR(TEEMATE_IOC_LEASE_INFO):
		return put_info(file->private_data, (void __user *)arg, _IOC_SIZE(command));
	case _IOC_NR(TEEMATE_IOC_ENCLAVE):
		return lease_enclave_fd(file->private_data, (void __user *)arg, _IOC_SIZE(command));
	default:
		return -ENOTTY;
	}
}

static long lease_fallocate(struct file *file, int mode, loff_t offset, loff_t length)
{
	if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	return lease_trim(file->private_data, offset, length);
}

static const struct file_operations lease_fops = {
	.owner = THIS_MODULE,
	.release = lease_release,
	.mmap = lease_mmap,
	.get_unmapped_area = lease_get_unmapped_area,
	.fallocate = lease_fallocate,
	.unlocked_ioctl = lease_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/**
 * lease_new_file() - Make the file that stands for a lease.
 * @lease: unborn; its reference becomes the file's
 *
 * Return: the file, or an ERR_PTR (the reference is still the caller's).
 */
struct file *lease_new_file(struct enclave_lease *lease)
{
	struct inode *inode;
	struct file *file;
	int ret;

	ret = simple_pin_fs(&fs_type, &fs_mount, &fs_pins);
	if (ret)
		return ERR_PTR(ret);
	inode = alloc_anon_inode(fs_mount->mnt_sb);
	if (IS_ERR(inode)) {
		ret = PTR_ERR(inode);
		goto unpin;
	}
	/* fallocate(2), with which a holder gives pages back, is for regular files */
	inode->i_mode = S_IFREG | 0600;
	inode->i_op = &lease_inode_operations;

	/* A pseudo file does not take the reference to the module that its release drops */
	__module_get(THIS_MODULE);
	file = alloc_file_pseudo(inode, fs_mount, "[teemate-lease]", O_RDWR, &lease_fops);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto put_module;
	}
	file->private_data = lease;
	ihold(inode);
	lease->inode = inode;
	lease->file = file;
	return file;

put_module:
	module_put(THIS_MODULE);
	iput(inode);
unpin:
	simple_release_fs(&fs_mount, &fs_pins);
	return ERR_PTR(ret);
}
