// SPDX-License-Identifier: GPL-2.0
/* EREPORT (SDM vol. 3D). */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "enclu.h"
#include "key.h"

#define REPORT_DATA_SIZE 64
#define REPORT_DATA_ALIGNMENT 128
#define REPORT_ALIGNMENT 512

struct target_info {
	u8 mrenclave[32];
	u64 attributes;
	u64 xfrm;
	u8 cet_attributes;
	u8 reserved;
	u16 config_svn;
	u32 miscselect;
	u8 reserved2[8];
	u8 config_id[64];
	u8 reserved3[384];
} __packed;

struct report {
	u8 cpusvn[CPUSVN_SIZE];
	u32 miscselect;
	u8 cet_attributes;
	u8 reserved[11];
	u8 ext_prod_id[16];
	u64 attributes;
	u64 xfrm;
	u8 mrenclave[32];
	u8 reserved2[32];
	u8 mrsigner[32];
	u8 reserved3[32];
	u8 config_id[64];
	u16 isv_prod_id;
	u16 isv_svn;
	u16 config_svn;
	u8 reserved4[42];
	u8 family_id[16];
	u8 data[REPORT_DATA_SIZE];
	u8 key_id[KEY_ID_SIZE];
	u8 mac[KEY_SIZE];
} __packed;

static_assert(sizeof(struct target_info) == 512);
static_assert(sizeof(struct report) == 432);
static_assert(offsetof(struct report, data) == 320);

static void fill(struct report *report, const struct teemate_enclave *enclave)
{
	const struct enclave_identity *identity = &enclave->identity;

	memcpy(report->cpusvn, cpu_cpusvn, sizeof(report->cpusvn));
	report->miscselect = enclave->miscselect;
	memcpy(report->ext_prod_id, identity->ext_prod_id, sizeof(report->ext_prod_id));
	report->attributes = enclave->attributes | SGX_ATTR_INIT;
	report->xfrm = enclave->xfrm;
	memcpy(report->mrenclave, enclave->mrenclave, sizeof(report->mrenclave));
	memcpy(report->mrsigner, enclave->mrsigner, sizeof(report->mrsigner));
	memcpy(report->config_id, identity->config_id, sizeof(report->config_id));
	report->isv_prod_id = identity->isv_prod_id;
	report->isv_svn = identity->isv_svn;
	report->config_svn = identity->config_svn;
	memcpy(report->family_id, identity->family_id, sizeof(report->family_id));
	memcpy(report->key_id, cpu_report_key_id(), sizeof(report->key_id));
}

/* The MAC is under the key that the target gets by EGETKEY */
static int sign(struct report *report, const struct target_info *target)
{
	struct key_dependencies dependencies = {
		.name = KEY_REPORT,
		.config_svn = target->config_svn,
		.miscselect = target->miscselect,
		.attributes = target->attributes,
		.xfrm = target->xfrm,
	};
	u8 key[KEY_SIZE];
	int ret;

	memcpy(dependencies.mrenclave, target->mrenclave, sizeof(dependencies.mrenclave));
	memcpy(dependencies.config_id, target->config_id, sizeof(dependencies.config_id));
	memcpy(dependencies.key_id, report->key_id, sizeof(dependencies.key_id));
	memcpy(dependencies.cpusvn, cpu_cpusvn, sizeof(dependencies.cpusvn));
	ret = cpu_key_derive(&dependencies, key);
	if (!ret)
		ret = cpu_key_mac(key, report, offsetof(struct report, key_id), report->mac);
	return ret;
}

static bool make_report(const struct enclu_enclave *encl, const struct pt_regs *regs, struct target_info *target,
			struct report *report, struct enclu_exception *fault)
{
	if (copy_from_user(target, (const void __user *)regs->bx, sizeof(*target))) {
		raise_absent_pf(fault, regs->bx, 0);
		return false;
	}
	if (target->reserved || memchr_inv(target->reserved2, 0, sizeof(target->reserved2)) ||
	    memchr_inv(target->reserved3, 0, sizeof(target->reserved3))) {
		raise_gp(fault);
		return false;
	}
	if (copy_from_user(report->data, (const void __user *)regs->cx, sizeof(report->data))) {
		raise_absent_pf(fault, regs->cx, 0);
		return false;
	}
	fill(report, encl->enclave);
	if (sign(report, target)) {
		raise_gp(fault);
		return false;
	}
	if (copy_to_user((void __user *)regs->dx, report, sizeof(*report))) {
		raise_absent_pf(fault, regs->dx, X86_PF_WRITE);
		return false;
	}
	return true;
}

/**
 * enclu_report() - EREPORT.
 * @thread: the calling one, inside
 * @regs: its registers in user mode
 * @fault: out: what the instruction raises
 *
 * Context: Process context.
 * Return: whether it raises nothing.
 */
bool enclu_report(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault)
{
	const struct enclu_enclave *encl = thread->enclave;
	struct target_info *target;
	struct report *report;
	bool good = false;

	raise_gp(fault);
	if (regs->bx & (sizeof(*target) - 1) || !enclu_contains(encl, regs->bx, sizeof(*target)) ||
	    regs->cx & (REPORT_DATA_ALIGNMENT - 1) || !enclu_contains(encl, regs->cx, REPORT_DATA_SIZE) ||
	    regs->dx & (REPORT_ALIGNMENT - 1) || !enclu_contains(encl, regs->dx, sizeof(*report)))
		return false;
	target = kmalloc(sizeof(*target), GFP_KERNEL);
	report = kzalloc(sizeof(*report), GFP_KERNEL);
	if (target && report)
		good = make_report(encl, regs, target, report, fault);
	kfree(report);
	kfree(target);
	return good;
}
