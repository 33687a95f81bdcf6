/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where everything in the enclave is. Shared by the LibOS, the mate and (mirrored in
 * enclave_host/layout.py, which a unit test compares with this file) the enclave builder.
 *
 *   ENCLAVE_BASE  [image region][compartment 0][compartment 1]...
 *
 * Every compartment has linear addresses of its own: two EPC pages of one enclave must never carry
 * the same linear address, or a hostile kernel could swap them.
 */
#ifndef TEEMATE_LAYOUT_H
#define TEEMATE_LAYOUT_H

#define ENCLAVE_BASE 0x700000000000
/* Image region: LibOS text and read-only data, shared by all compartments */
#define IMAGE_SIZE 0x1000000
/* ELRANGE is the next power of two that holds (1 + compartments) strides */
#define COMPARTMENT_STRIDE 0x100000000
/* No enclave is larger: an address is outside for certain if it is outside of this */
#define ELRANGE_SIZE_MAX 0x40000000000

/* --- inside a compartment: offsets from its base ------------------------------------------------ */

/* LibOS state of the compartment: struct compartment and its tables. Measured zero. */
#define HEADER_OFFSET 0x0
#define HEADER_SIZE 0x40000
#define ACCEPTED_MAP_OFFSET 0x20000 /* one bit a page of the compartment, see accept.c; outlives its tenants */
#define ACCEPTED_MAP_SIZE 0x20000

/* Thread blocks, THREAD_STRIDE each */
#define THREADS_OFFSET 0x100000
#define THREAD_STRIDE 0x10000
#define THREADS_MAX 256
/* inside a thread block; what is not named is a hole that nothing may touch (a guard) */
#define THREAD_TCS 0x0
#define THREAD_SSA 0x1000 /* two frames of one page */
#define THREAD_TCB 0x3000 /* OGSBASE: struct thread, up to three pages. Measured zero. */
#define THREAD_TCB_SIZE 0x3000
#define THREAD_EXCEPTION_STACK 0x7000
#define THREAD_EXCEPTION_STACK_TOP 0x9000
#define THREAD_STACK 0xa000
#define THREAD_STACK_TOP 0x10000
#define SSA_FRAME_SIZE 0x1000
#define SSA_FRAMES 2
#define XSAVE_SIZE_MAX (SSA_FRAME_SIZE - 184 - 16)

/* LibOS tables that grow with use: pages are added on demand */
#define VMAS_OFFSET 0x1200000
#define VMAS_SIZE 0x200000
#define DIRTY_MAP_OFFSET 0x1400000 /* one bit a page of the compartment */
#define DIRTY_MAP_SIZE 0x20000
#define LIBOS_HEAP_OFFSET 0x1440000 /* fd table and the like */
#define LIBOS_HEAP_SIZE 0x3c0000
#define TRAMPOLINES_OFFSET 0x1800000 /* within 2 GiB of all code, see patch.c */
#define TRAMPOLINES_SIZE 0x200000

/* Application memory. Executable mappings are placed in the first 1 GiB (reach of the trampolines). */
#define APP_OFFSET 0x2000000
#define APP_CODE_END 0x40000000
#define APP_END COMPARTMENT_STRIDE

#define COMPARTMENT_BASE(index) (ENCLAVE_BASE + ((index) + 1UL) * COMPARTMENT_STRIDE)
#define THREAD_BLOCK(compartment_base, slot) ((compartment_base) + THREADS_OFFSET + (unsigned long)(slot)*THREAD_STRIDE)

/*
 * Host side: the mate is linked here. The ENCLU gate of the software model, its first code, must be within 2 GiB of
 * the image region, since the model replaces each ENCLU by a five-byte call.
 */
#define MATE_TEXT 0x6ffff0000000
#define MODEL_ENCLU_GATE MATE_TEXT
#endif
