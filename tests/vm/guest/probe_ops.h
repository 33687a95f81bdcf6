/* SPDX-License-Identifier: Apache-2.0 */
/* What the probe enclave does: RDI says which, RSI points to a block of words outside or inside. */
#ifndef TEST_PROBE_OPS_H
#define TEST_PROBE_OPS_H

#define PROBE_NOTHING 0
#define PROBE_BASES 1 /* word 0: FS base, 1: GS base */
#define PROBE_SPIN 2 /* counts in word 0 until word 1 is not zero; word 2: registers that changed */
#define PROBE_SYSCALL 3 /* word 0: RAX after it */
#define PROBE_WRITE 4 /* writes to the address in word 0 */
#define PROBE_LEAF 5 /* ENCLU with words 0 to 3 in RAX, RBX, RCX, RDX; word 4: RAX after it */
#define PROBE_COPY 6 /* from word 0 to word 1, word 2 bytes */
#define PROBE_OPS 7
/* At CSSA = 1, whatever RDI says: skip word 1 bytes and set RAX to word 0; words 2 to 5: EXITINFO, RIP, MADDR, ERRCD */

/* Pages */
#define PROBE_CODE 0
#define PROBE_TCS 8
#define PROBE_TCS_COUNT 8
#define PROBE_SSA 16 /* two frames of one page for each TCS */
#define PROBE_FS 32
#define PROBE_GS 40
#define PROBE_SCRATCH 48
#define PROBE_SCRATCH_COUNT 16
#define PROBE_ABSENT 128 /* from here on nothing was added */
#define PROBE_PAGES 1024
#endif
