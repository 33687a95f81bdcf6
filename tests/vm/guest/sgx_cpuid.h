/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For the selftests of SGX that ask CPUID for the size of the EPC and would stop at its zero on a CPU without SGX:
 * put in front of their sources by the compiler's -include, it answers leaf 0x12 for the emulation.
 */
#ifndef TEEMATE_SGX_CPUID_H
#define TEEMATE_SGX_CPUID_H
#ifndef __ASSEMBLER__
#include <cpuid.h>

#define SGX_LEAF 0x12
#define SGX_FIRST_SECTION 2
#define SGX_SECTION_VALID 1
#define SGX1_AND_SGX2 3
#define EPC_SIZE (4 << 20)

static inline void cpuid_of_emulation(unsigned int leaf, unsigned int subleaf, unsigned int *eax, unsigned int *ebx,
                                      unsigned int *ecx, unsigned int *edx)
{
    __cpuid_count(leaf, subleaf, *eax, *ebx, *ecx, *edx);
    if (leaf == SGX_LEAF && subleaf == 0)
        *eax = SGX1_AND_SGX2;
    if (leaf == SGX_LEAF && subleaf == SGX_FIRST_SECTION) {
        *eax = SGX_SECTION_VALID;
        *ecx = EPC_SIZE;
        *edx = 0;
    }
}

#undef __cpuid_count
#define __cpuid_count(leaf, subleaf, eax, ebx, ecx, edx)                                                               \
    cpuid_of_emulation(leaf, subleaf, &(eax), &(ebx), &(ecx), &(edx))
#endif
#endif
