// SPDX-License-Identifier: GPL-2.0
/* Vector registers of the calling thread, to and from an SSA frame. */
#define pr_fmt(format) KBUILD_MODNAME ": " format
#include <asm/asm.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/processor.h>
#include <linux/bits.h>
#include <linux/irqflags.h>
#include <linux/printk.h>
#include <linux/thread_info.h>

#include "enclu.h"

/* x87, SSE, AVX, and the three parts of AVX-512: what has no rules of its own in the kernel, as PKRU and AMX have */
#define XFRM_MASK 0xe7ULL
#define XFRM_FIRST_EXTENDED 2
#define XSTATE_CPUID 0xd
#define MXCSR_AT_RESET 0x1f80
/* What is left of a page below EXINFO and GPRs, so that the XSAVE area is always within a frame's first page */
#define XSAVE_SIZE_MAX (PAGE_SIZE - SGX_SSA_GPRS_SIZE - SGX_SSA_MISC_EXINFO_SIZE)

static u64 supported;

/* XSTATE_BV is zero: XRSTOR of this puts every component into its initial state, and loads MXCSR */
static struct {
	struct fxregs_state legacy;
	struct xstate_header header;
} __packed __aligned(64) initial_state = { .legacy.mxcsr = MXCSR_AT_RESET };

/**
 * xstate_probe() - Find out which register state an enclave may use here.
 *
 * Return: 0, or -ENODEV on a CPU whose state does not fit into an SSA frame's first page.
 */
int xstate_probe(void)
{
	unsigned int component, size, offset, flags, unused;

	if (!boot_cpu_has(X86_FEATURE_XSAVE)) {
		pr_err("insecure__emulate_enclu needs a CPU with XSAVE\n");
		return -ENODEV;
	}
	supported = xgetbv(XCR_XFEATURE_ENABLED_MASK) & XFRM_MASK;
	for (component = XFRM_FIRST_EXTENDED; component < 8; component++) {
		if (!(supported & BIT_ULL(component)))
			continue;
		cpuid_count(XSTATE_CPUID, component, &size, &offset, &flags, &unused);
		if (offset + size > XSAVE_SIZE_MAX) {
			pr_err("insecure__emulate_enclu: XSAVE component %u does not fit into a page\n", component);
			return -ENODEV;
		}
	}
	return 0;
}

/**
 * xstate_supported() - Which register state an enclave may use here.
 *
 * Return: bits of XFRM.
 */
u64 xstate_supported(void)
{
	return supported;
}

/* The registers may still be in memory, where they were saved for another thread or for the kernel's own use */
static void load_own_registers(void)
{
	lockdep_assert_irqs_disabled();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

/**
 * xstate_save() - Save registers, as AEX does.
 * @area: XSAVE area in the kernel's address space
 * @xfrm: which
 *
 * Context: Interrupts off.
 */
void xstate_save(void *area, u64 xfrm)
{
	load_own_registers();
	asm volatile("xsave64 (%[area])" : : [area] "r"(area), "a"((u32)xfrm), "d"((u32)(xfrm >> 32)) : "memory");
}

/**
 * xstate_restore() - Load registers, as ERESUME does.
 * @area: XSAVE area in the kernel's address space; its content is the enclave's, which may be anything
 * @xfrm: which
 *
 * Context: Interrupts off.
 * Return: 0, or -EFAULT if the CPU refuses the area.
 */
int xstate_restore(const void *area, u64 xfrm)
{
	int ret = -EFAULT;

	load_own_registers();
	asm volatile("1: xrstor64 (%[area])\n"
		     "xorl %[ret], %[ret]\n"
		     "2:\n" _ASM_EXTABLE(1b, 2b)
		     : [ret] "+r"(ret)
		     : [area] "r"(area), "a"((u32)xfrm), "d"((u32)(xfrm >> 32))
		     : "memory");
	return ret;
}

/**
 * xstate_clear() - Put registers into their initial state.
 * @xfrm: which
 *
 * Context: Interrupts off.
 */
void xstate_clear(u64 xfrm)
{
	WARN_ON_ONCE(xstate_restore(&initial_state, xfrm));
}
