/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_MATE_RECOVER_H
#define TEEMATE_MATE_RECOVER_H
#include <stdint.h>

#include "thread.h"

/*
 * Free every TCS of the lease that a thread which no longer exists was in, then let the LibOS erase the
 * compartment. Returns the number of pages erased, or -errno: then the compartment must not be used again.
 * `thread` enters slot 0, then and afterwards.
 */
long recover_compartment(struct host_thread *thread);

/*
 * Let the LibOS draw where the next program of a free compartment will be, and back the memory there. Returns the bytes
 * that are, 0 if a program has started meanwhile, or -errno.
 */
long prepare_compartment(struct host_thread *thread, uint64_t code_size);

/* After execve: the old program's threads and memory are still there. */
void recover_after_exec(struct host_thread *thread);
#endif
