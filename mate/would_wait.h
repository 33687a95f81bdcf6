/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_MATE_WOULD_WAIT_H
#define TEEMATE_MATE_WOULD_WAIT_H
#include <stdint.h>

/* A signal came before this call was begun: is that to end it, because it would wait? */
int would_wait(long number, const uint64_t args[6]);
#endif
