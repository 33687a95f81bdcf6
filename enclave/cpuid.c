/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID. An enclave cannot execute it, so the answer is the host's word, kept from the first time on so that it
 * cannot change its mind. Features whose state the enclave's XFRM does not hold are hidden: with them
 * the program would fault, or leave state behind that is not cleared at EEXIT.
 */
#include "enter.h"
#include "extended_state.h"
#include "host.h"

#define CPUID_COUNT (sizeof(((struct compartment *)0)->cpuid) / sizeof(struct cpuid_entry))

#define LEAF_FEATURES 0x1
#define LEAF_CACHES 0x4
#define LEAF_EXTENDED_FEATURES 0x7
#define LEAF_TOPOLOGY 0xb
#define LEAF_XSAVE 0xd
#define LEAF_SGX 0x12
#define LEAF_TRACE 0x14
#define LEAF_TILE 0x1d
#define LEAF_TILE_MULTIPLY 0x1e
#define LEAF_AMD_CACHES 0x8000001d

/* leaf 1, ecx */
#define F1C_FMA (1u << 12)
#define F1C_OSXSAVE (1u << 27)
#define F1C_AVX (1u << 28)
#define F1C_F16C (1u << 29)
/* leaf 7.0 */
#define F7B_SGX (1u << 2)
#define F7B_HLE (1u << 4)
#define F7B_AVX2 (1u << 5)
#define F7B_RTM (1u << 11)
#define F7B_MPX (1u << 14)
#define F7B_AVX512 0xdc230000u /* F, DQ, IFMA, PF, ER, CD, BW, VL */
#define F7C_PKU (1u << 3)
#define F7C_OSPKE (1u << 4)
#define F7C_CET_SS (1u << 7)
#define F7C_VAES_VPCLMUL 0x600u
#define F7C_AVX512 0x5842u /* VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
#define F7C_SGX_LC (1u << 30)
#define F7C_PKS (1u << 31)
#define F7D_AVX512 0x80010cu /* 4VNNIW, 4FMAPS, VP2INTERSECT, FP16 */
#define F7D_UINTR (1u << 5)
#define F7D_CET_IBT (1u << 20)
#define F7D_AMX 0x3400000u
/* leaf 7.1 */
#define F71A_AVX (1u << 4 | 1u << 23) /* AVX-VNNI, AVX-IFMA */
#define F71A_AVX512_BF16 (1u << 5)
#define F71A_AMX_FP16 (1u << 21)
#define F71D_AVX (1u << 4 | 1u << 5 | 1u << 10 | 1u << 19) /* VNNI-INT8, NE-CONVERT, VNNI-INT16, AVX10 */
#define F71D_AMX_COMPLEX (1u << 8)
/* leaf 0xd.1 eax */
#define XSAVEOPT_XSAVEC_XGETBV1 0x7u

static void hide_extended(struct cpuid_entry *entry, int avx, int avx512)
{
    if (entry->subleaf == 0) {
        entry->ebx &= ~(F7B_SGX | F7B_HLE | F7B_RTM | F7B_MPX);
        entry->ecx &= ~(F7C_PKU | F7C_OSPKE | F7C_CET_SS | F7C_SGX_LC | F7C_PKS);
        entry->edx &= ~(F7D_UINTR | F7D_CET_IBT | F7D_AMX);
        if (!avx) {
            entry->ebx &= ~F7B_AVX2;
            entry->ecx &= ~F7C_VAES_VPCLMUL;
        }
        if (!avx512) {
            entry->ebx &= ~F7B_AVX512;
            entry->ecx &= ~F7C_AVX512;
            entry->edx &= ~F7D_AVX512;
        }
    } else if (entry->subleaf == 1) {
        entry->eax &= ~F71A_AMX_FP16;
        entry->edx &= ~F71D_AMX_COMPLEX;
        if (!avx) {
            entry->eax &= ~F71A_AVX;
            entry->edx &= ~F71D_AVX;
        }
        if (!avx512)
            entry->eax &= ~F71A_AVX512_BF16;
    }
}

static void hide_xsave(struct cpuid_entry *entry, uint64_t xfrm)
{
    if (entry->subleaf == 0) {
        entry->eax = xfrm;
        entry->ebx = entry->ecx = extended_state_size(xfrm);
        entry->edx = xfrm >> 32;
    } else if (entry->subleaf == 1) {
        entry->eax &= XSAVEOPT_XSAVEC_XGETBV1;
        entry->ebx = extended_state_size(xfrm);
        entry->ecx = entry->edx = 0;
    } else if (entry->subleaf >= 64 || !(xfrm >> entry->subleaf & 1)) {
        entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
    }
}

static void sanitise(struct cpuid_entry *entry, uint64_t xfrm)
{
    int avx = (xfrm & XFRM_AVX) != 0, avx512 = (xfrm & XFRM_AVX512) == XFRM_AVX512;
    switch (entry->leaf) {
    case LEAF_FEATURES:
        entry->ecx |= F1C_OSXSAVE;
        if (!avx)
            entry->ecx &= ~(F1C_AVX | F1C_FMA | F1C_F16C);
        break;
    case LEAF_EXTENDED_FEATURES:
        hide_extended(entry, avx, avx512);
        break;
    case LEAF_XSAVE:
        hide_xsave(entry, xfrm);
        break;
    case LEAF_SGX:
    case LEAF_TRACE:
    case LEAF_TILE:
    case LEAF_TILE_MULTIPLY:
        entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
        break;
    default:
        break;
    }
}

static int find(struct compartment *compartment, struct cpuid_entry *entry)
{
    int found = 0;
    spin_lock(&compartment->cpuid_lock);
    for (uint32_t i = 0; i < compartment->cpuid_count && !found; i++) {
        const struct cpuid_entry *known = &compartment->cpuid[i];
        if (known->leaf == entry->leaf && known->subleaf == entry->subleaf) {
            *entry = *known;
            found = 1;
        }
    }
    spin_unlock(&compartment->cpuid_lock);
    return found;
}

static void keep(struct compartment *compartment, const struct cpuid_entry *entry)
{
    spin_lock(&compartment->cpuid_lock);
    if (compartment->cpuid_count < CPUID_COUNT) {
        compartment->cpuid[compartment->cpuid_count] = *entry;
        __atomic_signal_fence(__ATOMIC_SEQ_CST); /* whole before it counts, should we be killed */
        compartment->cpuid_count++;
    }
    spin_unlock(&compartment->cpuid_lock);
}

/* For these ECX is part of the question; for the others it is what the program happened to leave there. */
static int has_subleaves(uint32_t leaf)
{
    switch (leaf) {
    case LEAF_CACHES:
    case LEAF_EXTENDED_FEATURES:
    case LEAF_TOPOLOGY:
    case LEAF_XSAVE:
    case LEAF_AMD_CACHES:
        return 1;
    default:
        /* quality of service, SGX, traces, hybrid and later leaves */
        return leaf >= 0xf && leaf < 0x80000000;
    }
}

void program_cpuid(struct registers *frame)
{
    struct thread *self = thread_self();
    struct cpuid_entry entry = {.leaf = frame->rax, .subleaf = frame->rcx};
    if (!has_subleaves(entry.leaf))
        entry.subleaf = 0;
    if (!find(self->compartment, &entry)) {
        uint32_t out[4];
        host_cpuid(entry.leaf, entry.subleaf, out);
        entry.eax = out[0];
        entry.ebx = out[1];
        entry.ecx = out[2];
        entry.edx = out[3];
        sanitise(&entry, self->xfrm);
        keep(self->compartment, &entry);
    }
    frame->rax = entry.eax;
    frame->rbx = entry.ebx;
    frame->rcx = entry.ecx;
    frame->rdx = entry.edx;
}
