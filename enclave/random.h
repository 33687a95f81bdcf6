/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_RANDOM_H
#define TEEMATE_RANDOM_H
#include <stddef.h>

/* Random bytes from the CPU. 0, or -EIO when the CPU's generator fails. */
long random_bytes(void *to, size_t size);
#endif
