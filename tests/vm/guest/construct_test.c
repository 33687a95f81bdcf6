// SPDX-License-Identifier: Apache-2.0
/* Construction: the SGX driver's ioctls, with the SGX driver's answers; MRENCLAVE; the signature. */
#include <asm/sgx.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"
#include "tests.h"

#define SIGSTRUCT 64 /* in the file */
#define SIGNATURE 516 /* in the SIGSTRUCT */
#define ISVPRODID 1024

static void test_adding(int fd, const struct enclave_file *file)
{
    static unsigned char bad_tcs[4096] __attribute__((aligned(4096)));
    struct sgx_enclave_add_pages short_add = {0};

    check(enclave_add(fd, 0, 1, 0x203, 1, NULL) == -EINVAL, "pages before CREATE are refused");
    check(enclave_create(fd, file) == 0, "CREATE");
    check(enclave_create(fd, file) == -EINVAL, "a second CREATE is refused");
    check(enclave_add_all(fd, file) == 0, "ADD_PAGES");
    check(enclave_add(fd, 0, 1, 0x203, 0, NULL) == -EBUSY, "a page cannot be added twice");
    check(enclave_add(fd, ENCLAVE_PAGES, 1, 0x203, 0, NULL) == -EINVAL, "pages beyond the enclave are refused");
    check(enclave_add(fd, ENCLAVE_PAGES - 1, 2, 0x203, 0, NULL) == -EINVAL, "also when they only reach beyond it");
    check(enclave_add(fd, 200, 1, 0x202, 0, NULL) == -EINVAL, "W without R is refused");
    check(enclave_add(fd, 200, 1, 0x101, 0, NULL) == -EINVAL, "a TCS with permissions is refused");
    check(enclave_add(fd, 200, 1, 0x303, 0, NULL) == -EINVAL, "other page types are refused");
    memset(bad_tcs, 0xff, sizeof(bad_tcs));
    check(enclave_add(fd, 200, 1, 0x100, 0, bad_tcs) == -EINVAL, "a TCS with reserved bits is refused");
    check(ioctl(fd, SGX_IOC_ENCLAVE_ADD_PAGES, &short_add) < 0, "an empty ADD_PAGES is refused");
}

/* Fails half-way: the count says how far it got */
static void test_partial(int fd)
{
    struct {
        uint64_t flags, reserved[7];
    } __attribute__((aligned(64))) secinfo = {.flags = 0x203};
    char *pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sgx_enclave_add_pages add = {
        .src = (uint64_t)pages, .offset = 300 * PAGE, .length = 4 * PAGE, .secinfo = (uint64_t)&secinfo};

    int failed;

    munmap(pages + 2 * PAGE, PAGE);
    failed = ioctl(fd, SGX_IOC_ENCLAVE_ADD_PAGES, &add) < 0 && errno == EFAULT;
    check(failed && add.count == 2 * PAGE, "ADD_PAGES that fails half-way says how far it got (%llu)",
          (unsigned long long)add.count);
    munmap(pages, 4 * PAGE);
}

static void test_initializing(int fd, const struct enclave_file *file)
{
    struct teemate_info info;
    struct enclave_file forged = *file;
    unsigned char *copy = malloc(file->size);

    memcpy(copy, file->data, file->size);
    forged.data = copy;
    copy[SIGSTRUCT + SIGNATURE] ^= 1;
    check(enclave_init(fd, &forged) == -EPERM, "a forged signature is refused");
    copy[SIGSTRUCT + SIGNATURE] ^= 1;
    copy[SIGSTRUCT + ISVPRODID] ^= 1;
    check(enclave_init(fd, &forged) == -EPERM, "a changed body is refused");
    copy[SIGSTRUCT + ISVPRODID] ^= 1;
    copy[SIGSTRUCT] ^= 1;
    check(enclave_init(fd, &forged) == -EINVAL, "a SIGSTRUCT of another form is refused");
    free(copy);

    check(!(enclave_info(fd).flags & TEEMATE_ENCLAVE_INITIALIZED), "not initialized yet");
    check(lease(fd, (struct range_spec[]){{0, 4, 0, RX}, {0}}, NULL, NULL) == -EINVAL, "no lease before INIT");
    check(enclave_init(fd, file) == 0, "INIT");
    check(enclave_init(fd, file) == -EINVAL, "a second INIT is refused");
    check(enclave_add(fd, 300, 1, 0x203, 0, NULL) == -EINVAL, "pages after INIT are refused");
    info = enclave_info(fd);
    check(info.flags == (TEEMATE_ENCLAVE_INITIALIZED | TEEMATE_ENCLAVE_EMULATED), "initialized and emulated");
    check(!memcmp(info.mrenclave, file->mrenclave, 32), "MRENCLAVE is what the signer computed");
}

/* Structs of other versions: longer is fine if the rest is zero, shorter never existed */
static void test_versions(int fd)
{
    struct {
        struct teemate_revoke known;
        uint64_t unknown;
    } longer = {{~0ULL}, 0};

    check(ioctl(fd, _IOW(TEEMATE_IOC_MAGIC, 2, longer), &longer) < 0 && errno == ENOENT, "a longer struct is taken");
    longer.unknown = 1;
    check(ioctl(fd, _IOW(TEEMATE_IOC_MAGIC, 2, longer), &longer) < 0 && errno == E2BIG, "unless it asks for more");
    check(ioctl(fd, _IOW(TEEMATE_IOC_MAGIC, 2, uint32_t), &longer) < 0 && errno == EINVAL, "a shorter one is not");
    check(ioctl(fd, _IO(TEEMATE_IOC_MAGIC, 99)) < 0 && errno == ENOTTY, "an unknown ioctl");
}

int construct_test(void)
{
    struct enclave_file file;
    int fd = open("/dev/teemate", O_RDWR | O_CLOEXEC);
    int broken = open("/dev/teemate", O_RDWR | O_CLOEXEC);
    struct teemate_setup sgx = {.flags = TEEMATE_SETUP_BACKING, .backing_fd = 0};

    check(fd >= 0 && enclave_file_open(&file, STANDARD_ENCLAVE) == 0, "open");
    check(ioctl(fd, TEEMATE_IOC_SETUP, &sgx) < 0 && errno == ENODEV, "only the SGX driver's files back an enclave");
    test_adding(fd, &file);
    test_initializing(fd, &file);
    test_versions(fd);
    check(enclave_create(broken, &file) == 0, "another enclave");
    test_partial(broken);
    close(broken);
    close(fd);
    return check_failures != 0;
}
