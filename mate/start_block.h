/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_START_BLOCK_H
#define TEEMATE_START_BLOCK_H
#include <stdint.h>

#include "thread.h"

struct signal_state {
    uint64_t ignored; /* bit n-1: SIG_IGN at start */
    uint64_t blocked;
};

/* Everything that the LibOS needs to start the program. Nothing else may use the exchange buffer before it does. */
void start_block_make(struct host_thread *thread, const char *path, char **arguments, char **environment,
                      const struct signal_state *signals);
/* Before anything is changed: what the process was started with. */
void signal_state_read(struct signal_state *state);
#endif
