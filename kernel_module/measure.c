// SPDX-License-Identifier: GPL-2.0
/*
 * MRENCLAVE: SHA-256 over the records that ECREATE, EADD and EEXTEND hash (SDM vol. 3D, "MRENCLAVE" and
 * the operation of these instructions).
 */
#include <asm/page.h>
#include <linux/string.h>

#include "compat.h"
#include "measure.h"

#define RECORD_SIZE 64
#define EXTEND_SIZE 256

/**
 * measure_create() - Start the measurement of an enclave, as ECREATE does.
 * @measurement: to be initialized
 * @ssa_frame_pages: SECS.SSAFRAMESIZE
 * @size: SECS.SIZE
 */
void measure_create(struct measurement *measurement, u32 ssa_frame_pages, u64 size)
{
	u8 record[RECORD_SIZE] = "ECREATE";

	put_unaligned_le32(ssa_frame_pages, record + 8);
	put_unaligned_le64(size, record + 12);
	sha256_init(&measurement->sha);
	sha256_update(&measurement->sha, record, sizeof(record));
}

/**
 * measure_add() - Measure that a page is added, as EADD does.
 * @measurement: of the enclave
 * @offset: of the page from the enclave's base
 * @secinfo_flags: SECINFO.FLAGS; the 40 bytes after it, also hashed, are reserved and zero
 */
void measure_add(struct measurement *measurement, u64 offset, u64 secinfo_flags)
{
	u8 record[RECORD_SIZE] = "EADD";

	put_unaligned_le64(offset, record + 8);
	put_unaligned_le64(secinfo_flags, record + 16);
	sha256_update(&measurement->sha, record, sizeof(record));
}

/**
 * measure_extend() - Measure the content of a whole page, as 16 EEXTENDs do.
 * @measurement: of the enclave
 * @offset: of the page from the enclave's base
 * @page: its content
 */
void measure_extend(struct measurement *measurement, u64 offset, const u8 *page)
{
	unsigned int chunk;

	for (chunk = 0; chunk < PAGE_SIZE; chunk += EXTEND_SIZE) {
		u8 record[RECORD_SIZE] = "EEXTEND";

		put_unaligned_le64(offset + chunk, record + 8);
		sha256_update(&measurement->sha, record, sizeof(record));
		sha256_update(&measurement->sha, page + chunk, EXTEND_SIZE);
	}
}

/**
 * measure_final() - Compute MRENCLAVE. More may be measured after it.
 * @measurement: of the enclave
 * @mrenclave: out
 */
void measure_final(const struct measurement *measurement, u8 mrenclave[SHA256_DIGEST_SIZE])
{
	struct sha256_state copy = measurement->sha;

	sha256_final(&copy, mrenclave);
}
