/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_ATTACH_H
#define TEEMATE_ATTACH_H
#include "mate.h"

/*
 * Read and check the grant in descriptors[0] and take those behind it: the mappings', and the lease channel if
 * `has_channel`. Dies with a message if anything about them is wrong.
 */
void lease_read(struct lease *lease, const int *descriptors, unsigned available, int has_channel);
/* The same for descriptors first, first + 1, ... with a channel. */
void lease_read_row(struct lease *lease, int first);

/* Map everything the grant names. Never replaces a mapping that exists. */
void lease_map(const struct lease *lease);

/*
 * The same in a forked child, if need be: mappings of memfds come along, those of the kernel module's leases do not.
 * The program's memory is then inaccessible until the LibOS, to which that faults, has it repaired.
 */
void lease_map_in_child(const struct lease *lease);

/* No access to the program's memory until the LibOS asks for it (OCALL_PROTECT). */
void lease_close_program_memory(const struct lease *lease);

/* Move descriptors out of the program's way, CLOEXEC: see mate.hidden_fd_first. */
void descriptors_hide(struct mate *self);
#endif
