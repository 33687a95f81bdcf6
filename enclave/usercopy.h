/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies between the LibOS and pointers that the program gave. A fault in them becomes -EFAULT: the
 * exception handler finds the instruction in usercopy.S and resumes at its fixup.
 */
#ifndef TEEMATE_USERCOPY_H
#define TEEMATE_USERCOPY_H
#include <stddef.h>
#include <stdint.h>

/* 0 or -EFAULT */
long copy_from_program(void *to, const void *from, size_t size);
long copy_to_program(void *to, const void *from, size_t size);
/* Length without the NUL, -EFAULT, or -ENAMETOOLONG when there is none within size bytes (copied up to there). */
long copy_string_from_program(char *to, const char *from, size_t size);

/* 0 or -EFAULT. One load. */
long load_u32_from_program(uint32_t *to, const uint32_t *from);
/*
 * Compare and exchange: 0 when *at was *expected and is now desired; 1 when not; -EFAULT. *expected becomes
 * what was found.
 */
long exchange_u32_in_program(uint32_t *at, uint32_t *expected, uint32_t desired);

/*
 * usercopy.S: the accesses themselves, each -EFAULT at a fault: exception.c continues at usercopy_fault when it
 * finds the instruction in [start, end). The functions above load what is still to be loaded of a file mapping,
 * and try again.
 */
long usercopy_bytes(void *to, const void *from, size_t size);
long usercopy_string(char *to, const char *from, size_t size);
long usercopy_load_u32(uint32_t *to, const uint32_t *from);
long usercopy_exchange_u32(uint32_t *at, uint32_t *expected, uint32_t desired);
extern const char usercopy_start[], usercopy_end[], usercopy_fault[];
#endif
