/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TEEMATE_MEASURE_H
#define TEEMATE_MEASURE_H

#include <crypto/sha2.h>
#include <linux/types.h>

struct measurement {
	struct sha256_state sha;
};

void measure_create(struct measurement *measurement, u32 ssa_frame_pages, u64 size);
void measure_add(struct measurement *measurement, u64 offset, u64 secinfo_flags);
void measure_extend(struct measurement *measurement, u64 offset, const u8 *page);
void measure_final(const struct measurement *measurement, u8 mrenclave[SHA256_DIGEST_SIZE]);

#endif
