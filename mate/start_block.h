/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_START_BLOCK_H
#define TEEMATE_START_BLOCK_H
#include <stdint.h>

#include "thread.h"

/* Everything that the LibOS needs to start the program. Nothing else may use the exchange buffer before it does. */
void start_block_make(struct host_thread *thread, const char *path, char **arguments, char **environment,
                      uint64_t blocked_signals);
#endif
