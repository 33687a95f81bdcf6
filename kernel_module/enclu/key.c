// SPDX-License-Identifier: GPL-2.0
/*
 * EGETKEY, and the keys of the emulated CPU. Its root key is drawn when the module is loaded: what is sealed cannot be
 * unsealed after that, and nothing but this very module confirms a report.
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format
#include <crypto/hash.h>
#include <linux/random.h>
#include <linux/uaccess.h>

#include "enclu.h"
#include "key.h"

#define MAC_ALGORITHM "cmac(aes)"
#define KEY_ALIGNMENT 16

#define POLICY_MRENCLAVE BIT(0)
#define POLICY_MRSIGNER BIT(1)
#define POLICY_NOISVPRODID BIT(2)
#define POLICY_CONFIGID BIT(3)
#define POLICY_ISVFAMILYID BIT(4)
#define POLICY_ISVEXTPRODID BIT(5)
#define POLICY_KNOWN GENMASK(5, 0)
/* Cannot be masked out of a sealing key */
#define ATTRIBUTES_ALWAYS (SGX_ATTR_INIT | SGX_ATTR_DEBUG)

struct sgx_key_request {
	u16 name;
	u16 policy;
	u16 isv_svn;
	u16 reserved;
	u8 cpusvn[CPUSVN_SIZE];
	u64 attributes_mask;
	u64 xfrm_mask;
	u8 key_id[KEY_ID_SIZE];
	u32 misc_mask;
	u16 config_svn;
	u8 reserved2[434];
} __packed;

static_assert(sizeof(struct sgx_key_request) == 512);

/* Says to whoever looks at a report what it is worth */
const u8 cpu_cpusvn[CPUSVN_SIZE] = { 't', 'e', 'e', 'm', 'a', 't', 'e', '-', 'i', 'n', 's', 'e', 'c', 'u', 'r', 'e' };

static struct crypto_shash *root;
static u8 report_key_id[KEY_ID_SIZE];

/**
 * cpu_keys_init() - Draw the root key.
 *
 * Return: 0 or -errno.
 */
int cpu_keys_init(void)
{
	u8 key[KEY_SIZE];
	int ret;

	root = crypto_alloc_shash(MAC_ALGORITHM, 0, 0);
	if (IS_ERR(root)) {
		pr_err("insecure__emulate_enclu needs " MAC_ALGORITHM ": load the kernel's module cmac\n");
		return PTR_ERR(root);
	}
	get_random_bytes(key, sizeof(key));
	get_random_bytes(report_key_id, sizeof(report_key_id));
	ret = crypto_shash_setkey(root, key, sizeof(key));
	memzero_explicit(key, sizeof(key));
	if (ret)
		crypto_free_shash(root);
	return ret;
}

/**
 * cpu_keys_exit() - Forget the root key.
 */
void cpu_keys_exit(void)
{
	crypto_free_shash(root);
}

/**
 * cpu_report_key_id() - KEYID of all reports.
 *
 * Return: KEY_ID_SIZE bytes.
 */
const u8 *cpu_report_key_id(void)
{
	return report_key_id;
}

/**
 * cpu_key_derive() - Derive a key.
 * @dependencies: of the key
 * @key: out
 *
 * Context: Process context.
 * Return: 0 or -errno.
 */
int cpu_key_derive(const struct key_dependencies *dependencies, u8 key[KEY_SIZE])
{
	return crypto_shash_tfm_digest(root, (const u8 *)dependencies, sizeof(*dependencies), key);
}

/**
 * cpu_key_mac() - Compute a MAC.
 * @key: to use
 * @data: to protect
 * @size: in bytes
 * @mac: out
 *
 * Context: Process context, may sleep.
 * Return: 0 or -errno.
 */
int cpu_key_mac(const u8 key[KEY_SIZE], const void *data, size_t size, u8 mac[KEY_SIZE])
{
	struct crypto_shash *transform = crypto_alloc_shash(MAC_ALGORITHM, 0, 0);
	int ret;

	if (IS_ERR(transform))
		return PTR_ERR(transform);
	ret = crypto_shash_setkey(transform, key, KEY_SIZE);
	if (!ret)
		ret = crypto_shash_tfm_digest(transform, data, size, mac);
	crypto_free_shash(transform);
	return ret;
}

static void seal_dependencies(const struct teemate_enclave *enclave, const struct sgx_key_request *request,
			      struct key_dependencies *dependencies)
{
	const struct enclave_identity *identity = &enclave->identity;

	dependencies->isv_svn = request->isv_svn;
	dependencies->attributes =
		(enclave->attributes | SGX_ATTR_INIT) & (request->attributes_mask | ATTRIBUTES_ALWAYS);
	dependencies->xfrm = enclave->xfrm & request->xfrm_mask;
	dependencies->miscselect = enclave->miscselect & request->misc_mask;
	if (request->policy & POLICY_MRENCLAVE)
		memcpy(dependencies->mrenclave, enclave->mrenclave, sizeof(dependencies->mrenclave));
	if (request->policy & POLICY_MRSIGNER)
		memcpy(dependencies->mrsigner, enclave->mrsigner, sizeof(dependencies->mrsigner));
	if (!(request->policy & POLICY_NOISVPRODID))
		dependencies->isv_prod_id = identity->isv_prod_id;
	if (request->policy & POLICY_CONFIGID) {
		memcpy(dependencies->config_id, identity->config_id, sizeof(dependencies->config_id));
		dependencies->config_svn = request->config_svn;
	}
	if (request->policy & POLICY_ISVFAMILYID)
		memcpy(dependencies->family_id, identity->family_id, sizeof(dependencies->family_id));
	if (request->policy & POLICY_ISVEXTPRODID)
		memcpy(dependencies->ext_prod_id, identity->ext_prod_id, sizeof(dependencies->ext_prod_id));
}

static void report_dependencies(const struct teemate_enclave *enclave, struct key_dependencies *dependencies)
{
	dependencies->attributes = enclave->attributes | SGX_ATTR_INIT;
	dependencies->xfrm = enclave->xfrm;
	dependencies->miscselect = enclave->miscselect;
	dependencies->config_svn = enclave->identity.config_svn;
	memcpy(dependencies->mrenclave, enclave->mrenclave, sizeof(dependencies->mrenclave));
	memcpy(dependencies->config_id, enclave->identity.config_id, sizeof(dependencies->config_id));
}

/* RAX of EGETKEY, and with SGX_SUCCESS what the key depends on */
static u64 check_request(const struct teemate_enclave *enclave, const struct sgx_key_request *request,
			 struct key_dependencies *dependencies)
{
	*dependencies = (struct key_dependencies){ .name = request->name };
	memcpy(dependencies->key_id, request->key_id, sizeof(dependencies->key_id));
	memcpy(dependencies->cpusvn, cpu_cpusvn, sizeof(dependencies->cpusvn));
	switch (request->name) {
	case KEY_REPORT:
		report_dependencies(enclave, dependencies);
		return SGX_SUCCESS;
	case KEY_SEAL:
		if (memcmp(request->cpusvn, cpu_cpusvn, sizeof(cpu_cpusvn)))
			return SGX_INVALID_CPUSVN;
		if (request->isv_svn > enclave->identity.isv_svn ||
		    (request->policy & POLICY_CONFIGID && request->config_svn > enclave->identity.config_svn))
			return SGX_INVALID_ISVSVN;
		seal_dependencies(enclave, request, dependencies);
		return SGX_SUCCESS;
	case KEY_EINITTOKEN:
	case KEY_PROVISION:
	case KEY_PROVISION_SEAL:
		/* No enclave here is initialized with the attribute */
		return SGX_INVALID_ATTRIBUTE;
	default:
		return SGX_INVALID_KEYNAME;
	}
}

/**
 * enclu_get_key() - EGETKEY.
 * @thread: the calling one, inside
 * @regs: its registers in user mode
 * @fault: out: what the instruction raises
 *
 * Context: Process context.
 * Return: whether it raises nothing.
 */
bool enclu_get_key(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault)
{
	const struct enclu_enclave *encl = thread->enclave;
	struct key_dependencies dependencies;
	struct sgx_key_request request;
	u8 key[KEY_SIZE];

	raise_gp(fault);
	if (regs->bx & (sizeof(request) - 1) || !enclu_contains(encl, regs->bx, sizeof(request)) ||
	    regs->cx & (KEY_ALIGNMENT - 1) || !enclu_contains(encl, regs->cx, KEY_SIZE))
		return false;
	if (copy_from_user(&request, (const void __user *)regs->bx, sizeof(request))) {
		raise_absent_pf(fault, regs->bx, 0);
		return false;
	}
	if (request.reserved || request.policy & ~POLICY_KNOWN ||
	    memchr_inv(request.reserved2, 0, sizeof(request.reserved2)))
		return false;

	regs->ax = check_request(encl->enclave, &request, &dependencies);
	regs->flags &= ~(X86_EFLAGS_ZF | X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_OF | X86_EFLAGS_SF);
	if (regs->ax != SGX_SUCCESS) {
		regs->flags |= X86_EFLAGS_ZF;
		return true;
	}
	if (cpu_key_derive(&dependencies, key))
		return false;
	if (copy_to_user((void __user *)regs->cx, key, sizeof(key))) {
		raise_absent_pf(fault, regs->cx, X86_PF_WRITE);
		return false;
	}
	return true;
}
