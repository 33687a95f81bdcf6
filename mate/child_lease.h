/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_CHILD_LEASE_H
#define TEEMATE_CHILD_LEASE_H
#include "mate.h"

/*
 * Ask the daemon, over the lease channel, for a lease of this process's own. Its descriptors and a copy of the
 * executable's are then in a row. 0 or -errno, after a line in the log.
 */
long child_lease_take(const struct mate *self, struct lease *lease, int *executable);
void child_lease_drop(const struct lease *lease, int executable);
#endif
