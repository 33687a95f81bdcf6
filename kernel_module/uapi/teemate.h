/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * User space interface of teemate.ko. Mirrored by enclave_host/teemate_uapi.py.
 *
 * Each open of /dev/teemate is one enclave. It is built with the ioctls of the kernel's own SGX driver
 * (SGX_IOC_ENCLAVE_CREATE, _ADD_PAGES, _INIT of <asm/sgx.h>), issued on the enclave's descriptor.
 * Then TEEMATE_IOC_LEASE makes lease descriptors: the only thing that a container ever holds. It
 * maps one with mmap(MAP_SHARED | MAP_FIXED_NOREPLACE) at enclave base + file offset.
 *
 * Every struct may grow at its end. The size that an ioctl number carries says which version the
 * caller was built with: the kernel takes what is missing as zero, and refuses (-E2BIG) a longer
 * struct unless the part that it does not know is zero.
 */
#ifndef _UAPI_TEEMATE_H
#define _UAPI_TEEMATE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TEEMATE_IOC_MAGIC 0xB5

#define TEEMATE_RANGES_MAX 64
#define TEEMATE_TCS_MAX 4096

/*
 * Before SGX_IOC_ENCLAVE_CREATE.
 * @page_limit: emulated EPC pages that the enclave may use, 0: as many as the module has
 * @flags: TEEMATE_SETUP_*
 * @backing_fd: with TEEMATE_SETUP_BACKING: a fresh descriptor of /dev/sgx_enclave. The construction
 *	ioctls are then passed on to it, and its pages are what leases map.
 */
struct teemate_setup {
	__u64 page_limit;
	__u32 flags;
	__s32 backing_fd;
};

#define TEEMATE_SETUP_BACKING 0x1
/* Leases outlive the last enclave descriptor; TEEMATE_IOC_ENCLAVE gets one back */
#define TEEMATE_SETUP_LEASES_SURVIVE 0x2

/*
 * @offset, @length: bytes from the enclave's base, page-aligned
 * @flags: TEEMATE_RANGE_*
 * @prot: the most that the holder may map with, PROT_READ | PROT_WRITE | PROT_EXEC
 */
struct teemate_range {
	__u64 offset;
	__u64 length;
	__u32 flags;
	__u32 prot;
};

/* No other live lease may name any page of the range */
#define TEEMATE_RANGE_PRIVATE 0x1
/* Pages that the enclave was not built with appear (zeroed) on first touch */
#define TEEMATE_RANGE_GROW 0x2
/* The end of the lease leaves the content of this private range alone: it is parked */
#define TEEMATE_RANGE_KEEP 0x4

/*
 * On an enclave descriptor, after SGX_IOC_ENCLAVE_INIT.
 * @ranges: address of struct teemate_range[@range_count]; they may not overlap
 * @tcs: address of __u64[@tcs_count], offsets of TCS pages; each has one holder at a time
 * @flags: TEEMATE_LEASE_*
 * @page_limit: pages that the holder may add to private ranges, 0: no limit of its own
 * @cookie: comes back in events
 * @id: out; never used again in this enclave
 * @fd: out, close-on-exec
 */
struct teemate_lease {
	__u64 ranges;
	__u64 tcs;
	__u32 range_count;
	__u32 tcs_count;
	__u32 flags;
	__u32 reserved;
	__u64 page_limit;
	__u64 cookie;
	__u64 id;
	__s32 fd;
	__u32 reserved2;
};

/* One address space at a time: another may map only when the first is gone (after execve, say) */
#define TEEMATE_LEASE_SINGLE_MM 0x1

/*
 * End the lease now: its mappings fault (SIGBUS) in every process, its pages are free again. On hardware
 * they are free when LEASE_END has come: a holder that sits in a page fault keeps them until then, but keeps
 * nobody waiting.
 */
struct teemate_revoke {
	__u64 id;
};

/*
 * On an enclave descriptor, of the live lease @id (-ENOENT: it has ended); on a lease descriptor, of
 * itself (@id is out).
 * @pages: pages that it added to its private ranges
 * @refused: page faults refused because a limit of pages was reached
 */
struct teemate_lease_info {
	__u64 id;
	__u64 cookie;
	__u64 pages;
	__u64 page_limit;
	__u64 refused;
	__u32 flags;
	__u32 reserved;
};

#define TEEMATE_LEASE_ENDED 0x1

/*
 * @epc_pages, @epc_limit: of the whole module
 * @pages, @page_limit: of this enclave
 * @events_lost: since the enclave was created
 */
struct teemate_info {
	__u64 epc_pages;
	__u64 epc_limit;
	__u64 pages;
	__u64 page_limit;
	__u64 base;
	__u64 size;
	__u64 events_lost;
	__u32 leases;
	__u32 flags;
	__u8 mrenclave[32];
	__u8 mrsigner[32];
};

#define TEEMATE_ENCLAVE_INITIALIZED 0x1
#define TEEMATE_ENCLAVE_EMULATED 0x2

/* On a lease descriptor, with CAP_SYS_ADMIN: a descriptor of its enclave, for a restarted daemon. */
struct teemate_enclave_fd {
	__s32 fd;
	__u32 reserved;
};

/* On an enclave descriptor: one more descriptor of the live lease @id. */
struct teemate_lease_fd {
	__u64 id;
	__s32 fd;
	__u32 reserved;
};

/*
 * EDBGWR for emulated EPC: change bytes of an initialized page, measured or not, before any lease
 * exists. The software model's loader puts its gates there. -EOPNOTSUPP on hardware.
 */
struct teemate_debug_write {
	__u64 offset;
	__u64 length;
	__u64 src;
};

#define TEEMATE_IOC_SETUP _IOW(TEEMATE_IOC_MAGIC, 0x00, struct teemate_setup)
#define TEEMATE_IOC_LEASE _IOWR(TEEMATE_IOC_MAGIC, 0x01, struct teemate_lease)
#define TEEMATE_IOC_REVOKE _IOW(TEEMATE_IOC_MAGIC, 0x02, struct teemate_revoke)
#define TEEMATE_IOC_LEASE_INFO _IOWR(TEEMATE_IOC_MAGIC, 0x03, struct teemate_lease_info)
#define TEEMATE_IOC_INFO _IOR(TEEMATE_IOC_MAGIC, 0x04, struct teemate_info)
#define TEEMATE_IOC_DEBUG_WRITE _IOW(TEEMATE_IOC_MAGIC, 0x05, struct teemate_debug_write)
#define TEEMATE_IOC_ENCLAVE _IOR(TEEMATE_IOC_MAGIC, 0x06, struct teemate_enclave_fd)
#define TEEMATE_IOC_LEASE_FD _IOWR(TEEMATE_IOC_MAGIC, 0x07, struct teemate_lease_fd)

/*
 * read(2) on an enclave descriptor yields whole events; poll(2) says POLLIN when there is one. At most
 * TEEMATE_EVENTS_MAX wait unread. What comes after that is counted, and told by one
 * TEEMATE_EVENT_OVERFLOW as soon as there is room: TEEMATE_IOC_LEASE_INFO then says which leases live.
 */
struct teemate_event {
	__u32 type;
	__u32 flags;
	__u64 lease_id;
	__u64 cookie;
	__u64 count; /* LEASE_END: pages erased; OVERFLOW: events lost */
};

#define TEEMATE_EVENTS_MAX 1024

#define TEEMATE_EVENT_LEASE_END 1
#define TEEMATE_EVENT_OVERFLOW 2
/* flags of LEASE_END */
#define TEEMATE_EVENT_REVOKED 0x1

#endif
