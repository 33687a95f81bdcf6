/* SPDX-License-Identifier: Apache-2.0 */
/* State of the process. Written once while there is one thread, then only read. */
#ifndef TEEMATE_MATE_H
#define TEEMATE_MATE_H
#include <stdint.h>

#include "lease.h"

/* grant, mappings', channel; the executable itself */
#define LEASE_DESCRIPTORS_MAX (2 + LEASE_MAPPINGS_MAX)

struct lease {
    struct lease_grant grant;
    int descriptors[LEASE_DESCRIPTORS_MAX]; /* in the order of lease.h */
    unsigned descriptor_count;
    int has_channel;
};

struct auxiliary {
    uint64_t vdso, hwcap, hwcap2, secure;
    uint64_t uid, euid, gid, egid;
    const char *path; /* by which the mate was executed */
};

struct mate {
    struct lease lease;
    int executable; /* descriptor of /proc/self/exe, to be executed again */
    int hidden_fd_first; /* all of the above */
    int hidden_fd_last;
    struct auxiliary auxiliary;
    char **environment;
    int in_parents_compartment; /* after OCALL_VFORK, until OCALL_EXECVE */
};
extern struct mate mate;
#endif
