// SPDX-License-Identifier: GPL-2.0
/* What EINIT checks in a SIGSTRUCT (SDM vol. 3D, EINIT): its form, its RSA-3072 signature and its promises. */
#include <crypto/sha2.h>
#include <linux/mpi.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "enclave.h"
#include "sigstruct.h"

#define VENDOR_INTEL 0x8086
#define EXPONENT 3

static const u64 header1[2] = { 0x000000E100000006, 0x0000000000010000 };
static const u64 header2[2] = { 0x0000006000000101, 0x0000000100000060 };

/* DigestInfo of SHA-256, as EMSA-PKCS1-v1_5 (RFC 8017, 9.2) puts it before the digest */
static const u8 digest_info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
				  0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };

static bool form_is_valid(const struct sgx_sigstruct *sigstruct)
{
	const struct sgx_sigstruct_header *header = &sigstruct->header;

	return !memcmp(header->header1, header1, sizeof(header1)) &&
	       !memcmp(header->header2, header2, sizeof(header2)) &&
	       (!header->vendor || header->vendor == VENDOR_INTEL) && sigstruct->exponent == EXPONENT &&
	       !memchr_inv(header->reserved1, 0, sizeof(header->reserved1)) &&
	       !memchr_inv(sigstruct->reserved4, 0, sizeof(sigstruct->reserved4));
}

/* The message that a valid signature turns into, big-endian */
static void expected_message(const struct sgx_sigstruct *sigstruct, u8 message[SGX_MODULUS_SIZE])
{
	u8 *digest = message + SGX_MODULUS_SIZE - SHA256_DIGEST_SIZE;
	u8 *info = digest - sizeof(digest_info);
	struct sha256_state sha;

	/* 00 01 ff ... ff 00 DigestInfo digest */
	memset(message, 0xff, SGX_MODULUS_SIZE);
	message[0] = 0;
	message[1] = 1;
	info[-1] = 0;
	memcpy(info, digest_info, sizeof(digest_info));

	/* Signed are the bytes 0-127 and 900-1027: the header and the body */
	sha256_init(&sha);
	sha256_update(&sha, (const u8 *)&sigstruct->header, sizeof(sigstruct->header));
	sha256_update(&sha, (const u8 *)&sigstruct->body, sizeof(sigstruct->body));
	sha256_final(&sha, digest);
}

/* SIGSTRUCT's numbers are little-endian */
static MPI read_number(const u8 number[SGX_MODULUS_SIZE], u8 *scratch)
{
	int i;

	for (i = 0; i < SGX_MODULUS_SIZE; i++)
		scratch[i] = number[SGX_MODULUS_SIZE - 1 - i];
	return mpi_read_raw_data(scratch, SGX_MODULUS_SIZE);
}

static int check_signature(const struct sgx_sigstruct *sigstruct)
{
	static const u8 three = EXPONENT;
	MPI modulus, signature, exponent, expected, result;
	u8 *scratch;
	int ret = -ENOMEM;

	scratch = kmalloc(SGX_MODULUS_SIZE, GFP_KERNEL);
	if (!scratch)
		return -ENOMEM;
	modulus = read_number(sigstruct->modulus, scratch);
	signature = read_number(sigstruct->signature, scratch);
	exponent = mpi_read_raw_data(&three, sizeof(three));
	expected_message(sigstruct, scratch);
	expected = mpi_read_raw_data(scratch, SGX_MODULUS_SIZE);
	result = mpi_alloc(0);
	if (!modulus || !signature || !exponent || !expected || !result)
		goto out;

	ret = -EPERM;
	/* The modulus has 3072 bits, its top one set, and the signature is less than it */
	if (!(sigstruct->modulus[SGX_MODULUS_SIZE - 1] & 0x80) || !(sigstruct->modulus[0] & 1) ||
	    mpi_cmp(signature, modulus) >= 0)
		goto out;
	ret = mpi_powm(result, signature, exponent, modulus);
	if (!ret && mpi_cmp(result, expected))
		ret = -EPERM;
out:
	mpi_free(result);
	mpi_free(expected);
	mpi_free(exponent);
	mpi_free(signature);
	mpi_free(modulus);
	kfree(scratch);
	return ret;
}

/**
 * sigstruct_check() - Decide whether EINIT would accept an enclave.
 * @sigstruct: as user space gave it, copied
 * @enclave: with what ECREATE set
 * @mrenclave: its measurement
 *
 * Return: 0; -EINVAL: malformed; -EPERM: wrong signature, measurement or attributes; -ENOMEM.
 */
int sigstruct_check(const struct sgx_sigstruct *sigstruct, const struct teemate_enclave *enclave,
		    const u8 mrenclave[SHA256_DIGEST_SIZE])
{
	const struct sgx_sigstruct_body *body = &sigstruct->body;

	BUILD_BUG_ON(sizeof(*sigstruct) != 1808);
	BUILD_BUG_ON(offsetof(struct sgx_sigstruct, body) != 900);

	if (!form_is_valid(sigstruct))
		return -EINVAL;
	if (memcmp(body->mrenclave, mrenclave, SHA256_DIGEST_SIZE) ||
	    (enclave->attributes ^ body->attributes) & body->attributes_mask ||
	    (enclave->xfrm ^ body->xfrm) & body->xfrm_mask ||
	    (enclave->miscselect ^ body->miscselect) & body->misc_mask)
		return -EPERM;
	return check_signature(sigstruct);
}
