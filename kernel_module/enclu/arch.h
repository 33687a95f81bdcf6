/* SPDX-License-Identifier: GPL-2.0 */
/* What the SDM (vol. 3D) defines for ENCLU and <asm/sgx.h> does not. */
#ifndef TEEMATE_ENCLU_ARCH_H
#define TEEMATE_ENCLU_ARCH_H

#include <asm/sgx.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#include <linux/types.h>

enum enclu_leaf {
	LEAF_EREPORT = 0,
	LEAF_EGETKEY = 1,
	LEAF_EENTER = 2,
	LEAF_ERESUME = 3,
	LEAF_EEXIT = 4,
	LEAF_EACCEPT = 5,
	LEAF_EMODPE = 6,
	LEAF_EACCEPTCOPY = 7,
};

#define ENCLU_SIZE 3 /* 0f 01 d7 */

/* Results of leaves, in RAX */
#define SGX_SUCCESS 0
#define SGX_INVALID_ATTRIBUTE 2
#define SGX_PAGE_ATTRIBUTES_MISMATCH 19
#define SGX_INVALID_CPUSVN 32
#define SGX_INVALID_ISVSVN 64
#define SGX_INVALID_KEYNAME 256

/* SECINFO.FLAGS, beyond what <asm/sgx.h> names */
#define SECINFO_PENDING BIT_ULL(3)
#define SECINFO_MODIFIED BIT_ULL(4)
#define SECINFO_RESTRICTED BIT_ULL(5)
#define SECINFO_STATE_MASK (SECINFO_PENDING | SECINFO_MODIFIED | SECINFO_RESTRICTED)

/* GPRSGX: at the very end of an SSA frame */
struct ssa_gprs {
	u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
	u64 r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rflags, rip, ursp, urbp;
	u32 exitinfo, reserved;
	u64 fsbase, gsbase;
};

#define EXITINFO_TYPE_HARDWARE (3U << 8)
#define EXITINFO_TYPE_SOFTWARE (6U << 8)
#define EXITINFO_VALID BIT(31)

/* Directly below GPRSGX, if SECS.MISCSELECT asks for it */
struct ssa_exinfo {
	u64 maddr;
	u32 errcd, reserved;
};

static_assert(sizeof(struct ssa_gprs) == SGX_SSA_GPRS_SIZE);
static_assert(sizeof(struct ssa_exinfo) == SGX_SSA_MISC_EXINFO_SIZE);

/* An exception as the CPU would report it */
struct enclu_exception {
	u8 vector; /* 0: none; a divide error is never kept */
	u16 error_code;
	u64 address;
};

/*
 * A TCS page is the CPU's alone. Here it is the kernel's: user space never maps one. The last bytes of the reserved
 * part hold an exception that the next ERESUME reports instead of resuming.
 */

static inline struct enclu_exception *tcs_report(struct sgx_tcs *tcs)
{
	return (struct enclu_exception *)(tcs->reserved + SGX_TCS_RESERVED_SIZE) - 1;
}

#define TCS_IDLE 0
#define TCS_BUSY 1

#endif
