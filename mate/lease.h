/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host daemon hands to a container process: a lease grant (a sealed memfd that holds
 * struct lease_grant) and the descriptors that it names. Mirrored by enclave_host/attach_protocol.py.
 *
 * All integers little-endian, naturally aligned; sizes in bytes.
 */
#ifndef TEEMATE_LEASE_H
#define TEEMATE_LEASE_H
#include <stdint.h>

#define LEASE_MAGIC 0x474c4d54 /* "TMLG" */
#define LEASE_VERSION 1
#define LEASE_MAPPINGS_MAX 8

/*
 * Map `size` bytes at `address` (MAP_SHARED | MAP_FIXED_NOREPLACE) from descriptor number `descriptor`
 * of the grant (0: the first one after the grant memfd) at `offset`.
 */
struct lease_mapping {
    uint64_t address, size, offset;
    uint32_t prot;
    uint32_t descriptor;
};

#define LEASE_SOFTWARE_MODEL 1 /* ENCLU is emulated by the mate: no confidentiality */
#define LEASE_TRACE_SYSCALLS 2 /* debug__trace_syscalls */
#define LEASE_NO_PATCH 4 /* debug__no_patch */
#define LEASE_TSC_CLOCK 8 /* the kernel's clock source is the time-stamp counter, and RDTSC is legal in an enclave */

struct lease_grant {
    uint32_t magic, version;
    uint64_t lease_id;
    uint64_t enclave_id;
    uint64_t enclave_base, enclave_size;
    uint64_t compartment_base;
    uint32_t compartment_index;
    uint32_t thread_count; /* TCS slots 0 .. thread_count-1 */
    uint64_t memory_limit;
    uint64_t xfrm;
    uint32_t flags;
    uint32_t mapping_count;
    struct lease_mapping mappings[LEASE_MAPPINGS_MAX];
    char pool[64]; /* NUL-padded, for messages */
};

/*
 * CPUID answers for this host follow the grant, to the end of the memfd: at most LEASE_CPUID_MAX, perhaps none. They
 * spare the mate the instruction, which in a virtual machine is an exit to the hypervisor.
 */
#define LEASE_CPUID_MAX 128
struct lease_cpuid {
    uint32_t leaf, subleaf;
    uint32_t eax, ebx, ecx, edx;
};

/*
 * Attach protocol: unix SOCK_SEQPACKET, one message a packet. Request and reply share the head.
 * Daemon's attach.sock (root only, by SO_PEERCRED): REQUEST, BIND, RELEASE, PING.
 * Lease channel (end of a socketpair that travels with the lease; the mate asks for its children): CHILD.
 * The channel is SOCK_DGRAM with SO_RCVTIMEO set, so that a restarted daemon can connect it anew: while there
 * is no daemon a send fails with ECONNREFUSED, and an answer that is lost ends in EAGAIN.
 * Janitor channel (daemon -> `mate janitor`, descriptor 3): SCRUB, answered by SCRUBBED; PREPARE, by PREPARED.
 */
#define ATTACH_MAGIC 0x50414d54 /* "TMAP" */
#define ATTACH_VERSION 1
#define ATTACH_MESSAGE_MAX 4096

enum attach_type {
    ATTACH_REQUEST = 1, /* body: struct attach_request; reply: struct attach_granted and the fds: grant
                           memfd, the mappings', the lease channel */
    ATTACH_BIND = 2, /* body: struct attach_bind: the lease now lives as long as that process */
    ATTACH_RELEASE = 3, /* body: container id; end its leases whose process is gone */
    ATTACH_CHILD = 4, /* no body: a lease in the same trust domain for the sending process, which becomes
                         its holder at once; reply as to REQUEST. Asked again by the same process: the
                         same lease. With one fd, a unix socket: the reply comes there, so that two
                         children who share the channel cannot take each other's; else on the channel */
    ATTACH_PING = 5,
    ATTACH_USAGE = 6, /* body: container id; reply: a struct attach_usage for each of its leases, init's first; as
                         many as fit */
    ATTACH_SCRUB = 16, /* no body; fds: grant memfd, then the mappings' */
    ATTACH_SCRUBBED = 17, /* body: u64 pages erased */
    ATTACH_PREPARE = 18, /* as SCRUB, for a compartment that is free; body: u64 bytes for the program's code */
    ATTACH_PREPARED = 19 /* body: u64 bytes backed, 0: a program has started there meanwhile */
};

struct attach_head {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t size; /* of the whole packet */
    int32_t status; /* reply: 0 or -errno; then the body is UTF-8 text for the user */
};

struct attach_request {
    uint32_t threads; /* 0: the pool's */
    uint32_t flags; /* ATTACH_WAIT */
    uint64_t memory; /* 0: the pool's */
    uint32_t wait_ms;
    uint32_t reserved;
    char pool[64]; /* NUL-padded */
    char container[256]; /* "<runtime root namespace>/<container id>", NUL-padded */
    char process[128]; /* exec id, or empty for init */
};
#define ATTACH_WAIT 1 /* wait up to wait_ms for a compartment instead of failing at once */

struct attach_granted {
    uint64_t lease_id;
    uint64_t build_us; /* time to build the enclave of a dedicated pool, else 0 */
};

struct attach_bind {
    uint64_t lease_id;
    uint32_t process_id;
    uint32_t reserved;
};

struct attach_usage {
    uint64_t lease_id;
    uint64_t enclave_id;
    uint64_t memory; /* bytes of EPC that are committed to the compartment now */
    uint64_t memory_limit;
    uint32_t compartment_index;
    uint32_t thread_count; /* TCSs of the lease */
    uint32_t threads_in_use;
    uint32_t process_id; /* 0: not bound yet */
};

#endif
