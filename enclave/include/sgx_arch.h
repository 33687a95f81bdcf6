/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SGX architectural structures, as the Intel SDM vol. 3D lays them out.
 *
 * Usable from C and from assembly. Every offset is asserted below, so that a change of a struct
 * which the hardware (or the model) would not understand cannot compile.
 */
#ifndef TEEMATE_SGX_ARCH_H
#define TEEMATE_SGX_ARCH_H

#define SGX_PAGE_SIZE 4096

/* ENCLU leaf functions (SDM 3D table 38-2) */
#define ENCLU_EREPORT 0
#define ENCLU_EGETKEY 1
#define ENCLU_EENTER 2
#define ENCLU_ERESUME 3
#define ENCLU_EEXIT 4
#define ENCLU_EACCEPT 5
#define ENCLU_EMODPE 6

/* SECINFO.FLAGS */
#define SECINFO_R 0x1
#define SECINFO_W 0x2
#define SECINFO_X 0x4
#define SECINFO_PENDING 0x8
#define SECINFO_TYPE_TCS (1 << 8)
#define SECINFO_TYPE_REG (2 << 8)

/* Exception vectors that SSA.EXITINFO reports */
#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_MF 16
#define VECTOR_AC 17
#define VECTOR_XM 19

#define EXITINFO_VALID 0x80000000u
#define EXITINFO_VECTOR_MASK 0xff
#define EXITINFO_TYPE_HARDWARE (3 << 8)
#define EXITINFO_TYPE_SOFTWARE (6 << 8)

/* TCS field offsets, for assembly */
#define TCS_FLAGS 8
#define TCS_OSSA 16
#define TCS_CSSA 24
#define TCS_NSSA 28
#define TCS_OENTRY 32
#define TCS_AEP 40
#define TCS_OFSBASE 48
#define TCS_OGSBASE 56

/* GPRSGX field offsets, for assembly; the area ends the SSA frame */
#define GPRSGX_SIZE 184
#define GPRSGX_RIP 136
#define GPRSGX_EXITINFO 160
#define GPRSGX_FSBASE 168
#define GPRSGX_GSBASE 176
/* EXINFO (MISCSELECT bit 0) sits directly below GPRSGX */
#define EXINFO_SIZE 16

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/* Thread control structure. Software may not read or write it once EADDed. Offsets are enclave-relative. */
struct sgx_tcs {
    uint64_t state; /* hardware-private; the model keeps its busy flag here */
    uint64_t flags; /* bit 0: DBGOPTIN */
    uint64_t ossa;
    uint32_t cssa;
    uint32_t nssa;
    uint64_t oentry;
    uint64_t aep;
    uint64_t ofsbase;
    uint64_t ogsbase;
    uint32_t fslimit;
    uint32_t gslimit;
    uint8_t reserved[4024];
};

struct sgx_gprs {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rflags, rip;
    uint64_t ursp, urbp;
    uint32_t exitinfo;
    uint32_t reserved;
    uint64_t fsbase, gsbase;
};

struct sgx_exinfo {
    uint64_t maddr; /* faulting address of #PF or #GP */
    uint32_t errcd;
    uint32_t reserved;
};

_Static_assert(sizeof(struct sgx_tcs) == SGX_PAGE_SIZE, "TCS");
_Static_assert(offsetof(struct sgx_tcs, ossa) == TCS_OSSA, "TCS.OSSA");
_Static_assert(offsetof(struct sgx_tcs, cssa) == TCS_CSSA, "TCS.CSSA");
_Static_assert(offsetof(struct sgx_tcs, oentry) == TCS_OENTRY, "TCS.OENTRY");
_Static_assert(offsetof(struct sgx_tcs, ogsbase) == TCS_OGSBASE, "TCS.OGSBASE");
_Static_assert(sizeof(struct sgx_gprs) == GPRSGX_SIZE, "GPRSGX");
_Static_assert(offsetof(struct sgx_gprs, rip) == GPRSGX_RIP, "GPRSGX.RIP");
_Static_assert(offsetof(struct sgx_gprs, exitinfo) == GPRSGX_EXITINFO, "GPRSGX.EXITINFO");
_Static_assert(offsetof(struct sgx_gprs, gsbase) == GPRSGX_GSBASE, "GPRSGX.GSBASE");
_Static_assert(sizeof(struct sgx_exinfo) == EXINFO_SIZE, "EXINFO");
#endif
#endif
