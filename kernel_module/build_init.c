// SPDX-License-Identifier: GPL-2.0
/* Construction of an enclave: the end of it. From then on there may be leases. */
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <uapi/asm/sgx.h>

#include "backing.h"
#include "enclave.h"
#include "sigstruct.h"

/* In struct sgx_sigstruct_body.reserved2 and .reserved3 */
#define FAMILY_ID_OFFSET 4
#define EXT_PROD_ID_OFFSET 16
#define ATTRIBUTES_ALLOWED (SGX_ATTR_DEBUG | SGX_ATTR_MODE64BIT | SGX_ATTR_KSS)

/* <asm/sgx.h> counts two fields of enclaves with key separation as reserved (SDM vol. 3D, SIGSTRUCT) */
static void remember_identity(struct enclave_identity *identity, const struct sgx_sigstruct_body *body)
{
	memcpy(identity->family_id, body->reserved2 + FAMILY_ID_OFFSET, sizeof(identity->family_id));
	memcpy(identity->ext_prod_id, body->reserved3 + EXT_PROD_ID_OFFSET, sizeof(identity->ext_prod_id));
	identity->isv_prod_id = body->isvprodid;
	identity->isv_svn = body->isvsvn;
}

static int init_locked(struct teemate_enclave *enclave, const struct sgx_sigstruct *sigstruct, unsigned long arg)
{
	u8 mrenclave[SHA256_DIGEST_SIZE];
	int ret;

	if (enclave->state != ENCLAVE_CREATED || enclave->created_failed)
		return -EINVAL;
	if (enclave->backing) {
		/* The driver's EINIT is the judge */
		ret = backing_ioctl(enclave->backing, SGX_IOC_ENCLAVE_INIT, arg);
		memcpy(mrenclave, sigstruct->body.mrenclave, sizeof(mrenclave));
	} else {
		if (enclave->attributes & ~(u64)ATTRIBUTES_ALLOWED)
			return -EACCES;
		measure_final(&enclave->measurement, mrenclave);
		ret = sigstruct_check(sigstruct, enclave, mrenclave);
	}
	if (ret)
		return ret;

	ret = enclave_index_segments(enclave);
	if (ret)
		return ret;
	memcpy(enclave->mrenclave, mrenclave, sizeof(mrenclave));
	sha256(sigstruct->modulus, sizeof(sigstruct->modulus), enclave->mrsigner);
	remember_identity(&enclave->identity, &sigstruct->body);
	enclave_set_initialized(enclave);
	return 0;
}

/**
 * enclave_init() - SGX_IOC_ENCLAVE_INIT.
 * @enclave: created, its pages added
 * @arg: address of struct sgx_enclave_init
 *
 * Return: 0 or -errno.
 */
long enclave_init(struct teemate_enclave *enclave, unsigned long arg)
{
	struct sgx_sigstruct *sigstruct;
	struct sgx_enclave_init init;
	long ret;

	if (copy_from_user(&init, (void __user *)arg, sizeof(init)))
		return -EFAULT;
	sigstruct = memdup_user(u64_to_user_ptr(init.sigstruct), sizeof(*sigstruct));
	if (IS_ERR(sigstruct))
		return PTR_ERR(sigstruct);

	mutex_lock(&enclave->build_lock);
	ret = init_locked(enclave, sigstruct, arg);
	mutex_unlock(&enclave->build_lock);
	kfree(sigstruct);
	return ret;
}
