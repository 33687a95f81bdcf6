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
#endif
