/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TEEMATE_SIGSTRUCT_H
#define TEEMATE_SIGSTRUCT_H

#include <asm/sgx.h>

struct teemate_enclave;

int sigstruct_check(const struct sgx_sigstruct *sigstruct, const struct teemate_enclave *enclave,
		    const u8 mrenclave[SHA256_DIGEST_SIZE]);

#endif
