/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the enclave of a file (see tests/vm/enclaves.py) and takes leases. */
#ifndef TEST_ENCLAVE_H
#define TEST_ENCLAVE_H
#include <stddef.h>
#include <stdint.h>

#include "teemate.h"

#define STANDARD_ENCLAVE "/t/standard.enclave"
#define BASE 0x700000000000ULL
#define ENCLAVE_PAGES 4096UL
#define AT(page) (BASE + (page)*4096ULL)
#define PATTERN(page, offset) (((uint64_t)(page) << 24) + (offset))
#define AREA(index) (64UL + 16 * (index)) /* private areas of the standard enclave, 16 pages each */
#define AREAS 8
#define GROW_FIRST 1024UL /* never added: appears where a lease allows it */

#define RW 3u
#define RX 5u
#define RWX 7u

struct enclave_file {
    const unsigned char *data;
    size_t size;
    uint64_t enclave_size;
    unsigned char mrenclave[32];
};

int enclave_file_open(struct enclave_file *file, const char *path);
/* The steps of construction; 0 or -errno */
int enclave_create(int fd, const struct enclave_file *file);
int enclave_add_all(int fd, const struct enclave_file *file);
int enclave_init(int fd, const struct enclave_file *file);
int enclave_add(int fd, uint64_t page, uint64_t count, uint64_t secinfo_flags, int measured, const void *content);
/* Open /dev/teemate and build an enclave, or the standard one; a descriptor, or -errno */
int enclave_build_of(const struct enclave_file *file, const struct teemate_setup *setup);
int enclave_build(const struct teemate_setup *setup);

struct range_spec {
    uint64_t page, count;
    uint32_t flags, prot;
};

/* Lease ranges (up to one with count 0) and TCS pages (up to a 0); a descriptor or -errno */
int lease(int enclave, const struct range_spec *ranges, const uint64_t *tcs_pages, struct teemate_lease *options);
int revoke_lease(int enclave, uint64_t id);
/* Map pages of a lease where they belong; 0 or -errno */
int map(int lease_fd, uint64_t page, uint64_t count, int prot);
/* The next event within the time; 0 or -1 */
int next_event(int enclave, struct teemate_event *event, int milliseconds);
struct teemate_info enclave_info(int enclave);
#endif
