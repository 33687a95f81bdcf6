/* SPDX-License-Identifier: Apache-2.0 */
/* Included before every file: all symbols are the mate's own, so that addresses are RIP-relative, without a GOT. */
#ifndef __ASSEMBLER__
#pragma GCC visibility push(hidden)
#endif
