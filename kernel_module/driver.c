// SPDX-License-Identifier: GPL-2.0
/* teemate.ko: enclaves that many processes share, each holding a lease on a part. */
#define pr_fmt(format) KBUILD_MODNAME ": " format
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "enclave.h"
#include "enclu/enclu.h"
#include "epc.h"
#include "lease.h"

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "teemate",
	.mode = 0600,
	.fops = &teemate_enclave_fops,
};

static int __init teemate_init(void)
{
	int ret;

	epc_init();
	ret = lease_workers_init();
	if (ret)
		return ret;
	ret = enclu_init();
	if (ret)
		goto exit_workers;
	ret = misc_register(&device);
	if (ret)
		goto exit_enclu;
	pr_info("emulated EPC of %lu pages: no confidentiality\n", epc_limit());
	return 0;

exit_enclu:
	enclu_exit();
exit_workers:
	lease_workers_exit();
	return ret;
}

static void __exit teemate_exit(void)
{
	misc_deregister(&device);
	enclu_exit();
	lease_workers_exit();
	/* Whoever had pages had a file, and a file holds the module */
	WARN_ON(epc_in_use());
}

module_init(teemate_init);
module_exit(teemate_exit);
MODULE_DESCRIPTION("TeeMate: leases on shared SGX enclaves");
MODULE_AUTHOR("The TeeMate developers");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("GPL");
