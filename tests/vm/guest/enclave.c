// SPDX-License-Identifier: Apache-2.0
#include "enclave.h"

#include <asm/sgx.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_head {
    char magic[4];
    uint32_t entries;
    uint64_t base, size;
    uint32_t ssa_frame_pages, zero;
    unsigned char mrenclave[32];
    unsigned char sigstruct[1808];
};

struct file_entry {
    uint64_t offset, length, secinfo;
    uint32_t measured, has_content;
};

struct secinfo {
    uint64_t flags, reserved[7];
} __attribute__((aligned(64)));

static unsigned char zeros[256 * 4096] __attribute__((aligned(4096)));

static int result(int status)
{
    return status < 0 ? -errno : status;
}

int enclave_file_open(struct enclave_file *file, const char *path)
{
    const struct file_head *head;
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status))
        return -errno;
    file->size = (size_t)status.st_size;
    file->data = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file->data == MAP_FAILED)
        return -errno;
    head = (const void *)file->data;
    file->enclave_size = head->size;
    memcpy(file->mrenclave, head->mrenclave, sizeof(file->mrenclave));
    return memcmp(head->magic, "TMEN", 4) ? -EINVAL : 0;
}

int enclave_create(int fd, const struct enclave_file *file)
{
    const struct file_head *head = (const void *)file->data;
    static uint64_t secs[512] __attribute__((aligned(4096)));
    struct sgx_enclave_create create = {.src = (uint64_t)secs};

    memset(secs, 0, sizeof(secs));
    secs[0] = head->size;
    secs[1] = head->base;
    secs[2] = head->ssa_frame_pages | 1ULL << 32; /* SSAFRAMESIZE, MISCSELECT */
    secs[6] = 4; /* ATTRIBUTES: MODE64 */
    secs[7] = 3; /* XFRM: x87, SSE */
    return result(ioctl(fd, SGX_IOC_ENCLAVE_CREATE, &create));
}

static int add_bytes(int fd, uint64_t offset, uint64_t length, uint64_t flags, int measured, const void *content)
{
    struct secinfo secinfo = {.flags = flags};
    struct sgx_enclave_add_pages add = {.src = (uint64_t)content,
                                        .offset = offset,
                                        .length = length,
                                        .secinfo = (uint64_t)&secinfo,
                                        .flags = measured ? SGX_PAGE_MEASURE : 0};

    return result(ioctl(fd, SGX_IOC_ENCLAVE_ADD_PAGES, &add));
}

int enclave_add(int fd, uint64_t page, uint64_t count, uint64_t secinfo_flags, int measured, const void *content)
{
    return add_bytes(fd, page * 4096, count * 4096, secinfo_flags, measured, content ? content : zeros);
}

int enclave_add_all(int fd, const struct enclave_file *file)
{
    const struct file_head *head = (const void *)file->data;
    const struct file_entry *entry = (const void *)(head + 1);
    const unsigned char *content = (const void *)(entry + head->entries);
    static unsigned char page[16 * 4096] __attribute__((aligned(4096)));
    uint32_t i;
    int ret = 0;

    for (i = 0; !ret && i < head->entries; i++, entry++) {
        const void *source = zeros;

        if (entry->has_content) {
            memcpy(page, content, entry->length); /* the file's content is not page-aligned */
            content += entry->length;
            source = page;
        }
        ret = add_bytes(fd, entry->offset, entry->length, entry->secinfo, (int)entry->measured, source);
    }
    return ret;
}

int enclave_init(int fd, const struct enclave_file *file)
{
    const struct file_head *head = (const void *)file->data;
    struct sgx_enclave_init init = {.sigstruct = (uint64_t)head->sigstruct};

    return result(ioctl(fd, SGX_IOC_ENCLAVE_INIT, &init));
}

int enclave_build_of(const struct enclave_file *file, const struct teemate_setup *setup)
{
    int fd = open("/dev/teemate", O_RDWR | O_CLOEXEC);
    int ret = 0;

    if (fd < 0)
        return -errno;
    if (setup)
        ret = result(ioctl(fd, TEEMATE_IOC_SETUP, setup));
    if (!ret)
        ret = enclave_create(fd, file);
    if (!ret)
        ret = enclave_add_all(fd, file);
    if (!ret)
        ret = enclave_init(fd, file);
    if (!ret)
        return fd;
    close(fd);
    return ret;
}

int enclave_build(const struct teemate_setup *setup)
{
    static struct enclave_file file;
    int ret = file.data ? 0 : enclave_file_open(&file, STANDARD_ENCLAVE);

    return ret ? ret : enclave_build_of(&file, setup);
}

int lease(int enclave, const struct range_spec *ranges, const uint64_t *tcs_pages, struct teemate_lease *options)
{
    struct teemate_range wanted[TEEMATE_RANGES_MAX];
    uint64_t tcs[64];
    struct teemate_lease request = {.ranges = (uint64_t)wanted, .tcs = (uint64_t)tcs};

    for (; ranges && ranges->count; ranges++)
        wanted[request.range_count++] = (struct teemate_range){.offset = ranges->page * 4096,
                                                               .length = ranges->count * 4096,
                                                               .flags = ranges->flags,
                                                               .prot = ranges->prot};
    for (; tcs_pages && *tcs_pages; tcs_pages++)
        tcs[request.tcs_count++] = *tcs_pages * 4096;
    if (options) {
        request.flags = options->flags;
        request.page_limit = options->page_limit;
        request.cookie = options->cookie;
    }
    if (ioctl(enclave, TEEMATE_IOC_LEASE, &request))
        return -errno;
    if (options)
        *options = request;
    return request.fd;
}

int revoke_lease(int enclave, uint64_t id)
{
    struct teemate_revoke request = {.id = id};

    return result(ioctl(enclave, TEEMATE_IOC_REVOKE, &request));
}

int map(int lease_fd, uint64_t page, uint64_t count, int prot)
{
    void *address =
        mmap((void *)AT(page), count * 4096, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, lease_fd, (off_t)(page * 4096));

    return address == MAP_FAILED ? -errno : 0;
}

int next_event(int enclave, struct teemate_event *event, int milliseconds)
{
    struct pollfd poll_fd = {.fd = enclave, .events = POLLIN};

    if (poll(&poll_fd, 1, milliseconds) != 1)
        return -1;
    return read(enclave, event, sizeof(*event)) == sizeof(*event) ? 0 : -1;
}

struct teemate_info enclave_info(int enclave)
{
    struct teemate_info info = {0};

    ioctl(enclave, TEEMATE_IOC_INFO, &info);
    return info;
}
