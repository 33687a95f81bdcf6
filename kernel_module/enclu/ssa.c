// SPDX-License-Identifier: GPL-2.0
/* The pages of an SSA frame, held from entry on, so that an AEX can write to them in any context. */
#include <linux/mm.h>

#include "enclu.h"

/**
 * ssa_frame_address() - Where an SSA frame is.
 * @encl: of the TCS
 * @tcs: whose frame; its content is the enclave's, which may be anything
 * @number: of the frame
 *
 * Return: the address, which need not be in the enclave.
 */
u64 ssa_frame_address(const struct enclu_enclave *encl, const struct sgx_tcs *tcs, u32 number)
{
	const struct teemate_enclave *enclave = encl->enclave;

	return enclave->base + READ_ONCE(tcs->ssa_offset) + (u64)number * enclave->identity.ssa_frame_pages * PAGE_SIZE;
}

static enum enclu_result pin_page(struct enclu_enclave *encl, u64 address, struct epc_entry **pinned,
				  struct enclu_exception *fault)
{
	unsigned long number = enclu_page_number(encl, address);
	struct epc_entry *entry = xa_load(&encl->pages, number);

	if (!entry && enclu_page_is_added(encl, number))
		return ENCLU_DEFER;
	/* By this very process: a lease on a TCS is none on somebody else's frames */
	if (!entry || enclu_mapped_at(current->mm, address, VM_READ | VM_WRITE) != encl) {
		raise_absent_pf(fault, address, X86_PF_WRITE);
		return ENCLU_FAULT;
	}
	if ((epc_entry_access(entry) & (VM_READ | VM_WRITE)) != (VM_READ | VM_WRITE)) {
		raise_epcm_pf(fault, address, X86_PF_WRITE);
		return ENCLU_FAULT;
	}
	atomic_inc(&entry->pins);
	*pinned = entry;
	return ENCLU_DONE;
}

/**
 * ssa_pin() - Hold the pages of an SSA frame that an AEX writes to.
 * @encl: of the TCS
 * @tcs: whose frame
 * @number: of the frame
 * @frame: out
 * @fault: out: if ENCLU_FAULT
 *
 * Context: Holds mmap_lock and xa_lock of the enclave's pages.
 * Return: what to do.
 */
enum enclu_result ssa_pin(struct enclu_enclave *encl, const struct sgx_tcs *tcs, u32 number, struct ssa_frame *frame,
			  struct enclu_exception *fault)
{
	u64 size = (u64)encl->enclave->identity.ssa_frame_pages * PAGE_SIZE;
	u64 address = ssa_frame_address(encl, tcs, number);
	enum enclu_result ret;

	if (address & ~PAGE_MASK || !enclu_contains(encl, address, size)) {
		raise_gp(fault);
		return ENCLU_FAULT;
	}
	ret = pin_page(encl, address, &frame->first, fault);
	if (ret != ENCLU_DONE)
		return ret;
	ret = pin_page(encl, address + size - PAGE_SIZE, &frame->last, fault);
	if (ret != ENCLU_DONE)
		epc_entry_unpin(frame->first);
	return ret;
}

/**
 * ssa_unpin() - Let go of the pages of an SSA frame.
 * @frame: pinned
 *
 * Context: Any.
 */
void ssa_unpin(struct ssa_frame *frame)
{
	epc_entry_unpin(frame->last);
	epc_entry_unpin(frame->first);
	frame->first = NULL;
	frame->last = NULL;
}
