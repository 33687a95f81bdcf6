// SPDX-License-Identifier: GPL-2.0
/* /dev/sgx_enclave, where the kernel's SGX driver has none because the CPU has no SGX. */
#define pr_fmt(format) KBUILD_MODNAME ": " format
#include <asm/cpufeature.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <uapi/asm/sgx.h>

#include "enclu.h"
#include "key.h"

static bool insecure__emulate_enclu;
module_param(insecure__emulate_enclu, bool, 0400);
MODULE_PARM_DESC(insecure__emulate_enclu,
		 "Emulate ENCLU and /dev/sgx_enclave on a CPU without SGX: for tests, protects nothing (default: no)");

/* A chained enclave is built while the build_lock of the one that it is chained to is held */
static struct lock_class_key build_lock_class;

static int device_open(struct inode *inode, struct file *file)
{
	struct enclu_enclave *encl = kzalloc(sizeof(*encl), GFP_KERNEL_ACCOUNT);

	if (!encl)
		return -ENOMEM;
	encl->enclave = enclave_alloc();
	if (IS_ERR(encl->enclave)) {
		int ret = PTR_ERR(encl->enclave);

		kfree(encl);
		return ret;
	}
	lockdep_set_class(&encl->enclave->build_lock, &build_lock_class);
	kref_init(&encl->ref);
	mutex_init(&encl->zap_lock);
	mutex_init(&encl->lock);
	xa_init_flags(&encl->pages, XA_FLAGS_LOCK_IRQ | XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&encl->mms);
	file->private_data = encl;
	return 0;
}

static void enclu_enclave_free(struct kref *ref)
{
	struct enclu_enclave *encl = container_of(ref, struct enclu_enclave, ref);

	enclu_forget_mms(encl);
	enclu_free_pages(encl);
	enclave_put(encl->enclave);
	kfree(encl);
}

/**
 * enclu_enclave_put() - Drop a reference; the last one frees the enclave and its pages.
 * @encl: whose reference the caller gives up
 *
 * Context: Process context, may sleep.
 */
void enclu_enclave_put(struct enclu_enclave *encl)
{
	kref_put(&encl->ref, enclu_enclave_free);
}

/**
 * enclu_enclave_put_if_not_last() - Drop a reference where the last one cannot be dropped.
 * @encl: whose reference the caller gives up
 *
 * Context: Any.
 * Return: whether it was dropped.
 */
bool enclu_enclave_put_if_not_last(struct enclu_enclave *encl)
{
	return refcount_dec_not_one(&encl->ref.refcount);
}

static int device_release(struct inode *inode, struct file *file)
{
	enclu_enclave_put(file->private_data);
	return 0;
}

static long initialize(struct enclu_enclave *encl, unsigned long arg)
{
	if (encl->enclave->xfrm & ~xstate_supported())
		return -EINVAL;
	return enclave_init(encl->enclave, arg);
}

static long device_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	struct enclu_enclave *encl = file->private_data;
	long ret;

	/* As the driver: one at a time, and no waiting */
	if (test_and_set_bit(ENCLU_IN_IOCTL, &encl->flags))
		return -EBUSY;
	switch (command) {
	case SGX_IOC_ENCLAVE_CREATE:
		ret = enclave_create(encl->enclave, arg);
		break;
	case SGX_IOC_ENCLAVE_ADD_PAGES:
		ret = enclave_add_pages(encl->enclave, arg);
		break;
	case SGX_IOC_ENCLAVE_INIT:
		ret = initialize(encl, arg);
		break;
	default:
		ret = enclu_sgx2_ioctl(encl, command, (void __user *)arg);
	}
	clear_bit(ENCLU_IN_IOCTL, &encl->flags);
	return ret;
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.mmap = enclu_mmap,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "sgx_enclave",
	.mode = 0600,
	.fops = &device_fops,
};

/**
 * enclu_is_device_file() - Is this an enclave of the emulated device?
 * @file: any
 *
 * Return: whether.
 */
bool enclu_is_device_file(const struct file *file)
{
	return file->f_op == &device_fops;
}

/**
 * enclu_init() - Start the emulation, if the module's parameter asks for it.
 *
 * Return: 0 or -errno.
 */
int enclu_init(void)
{
	int ret;

	if (!insecure__emulate_enclu)
		return 0;
	if (boot_cpu_has(X86_FEATURE_SGX)) {
		pr_err("insecure__emulate_enclu is for CPUs without SGX, and this one has it\n");
		return -EBUSY;
	}
	ret = xstate_probe();
	if (ret)
		return ret;
	ret = cpu_keys_init();
	if (ret)
		return ret;
	ret = enclu_dispatch_init();
	if (ret)
		goto exit_keys;
	ret = misc_register(&device);
	if (ret)
		goto exit_dispatch;
	pr_warn("insecure__emulate_enclu: enclaves of /dev/sgx_enclave are not protected from anything\n");
	return 0;

exit_dispatch:
	enclu_dispatch_exit();
exit_keys:
	cpu_keys_exit();
	return ret;
}

/**
 * enclu_exit() - End the emulation. No thread is in an enclave: it would hold the module.
 */
void enclu_exit(void)
{
	if (!insecure__emulate_enclu)
		return;
	misc_deregister(&device);
	enclu_dispatch_exit();
	cpu_keys_exit();
}
