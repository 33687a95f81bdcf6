// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "probe.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "enclave.h"

#define FILE_PATH "/t/probe.enclave"
#define FUNCTION "__vdso_sgx_enter_enclave"
#define FUNCTION_SIZE 256

long probe_vdso_call(uint64_t op, uint64_t *words, uint64_t unused, unsigned int leaf, const void *function,
                     uint64_t unused2, struct sgx_enclave_run *run);

static const void *find_function(void)
{
    const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *head = (const void *)image;
    const Elf64_Phdr *program = (const void *)(image + head->e_phoff);
    const Elf64_Dyn *entry = NULL;
    const Elf64_Sym *symbols = NULL;
    const char *names = NULL;

    for (unsigned int i = 0; i < head->e_phnum; i++)
        if (program[i].p_type == PT_DYNAMIC)
            entry = (const void *)(image + program[i].p_offset);
    for (; entry && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            symbols = (const void *)(image + entry->d_un.d_ptr);
        if (entry->d_tag == DT_STRTAB)
            names = image + entry->d_un.d_ptr;
    }
    /* The names follow the symbols */
    for (; symbols && (const char *)(symbols + 1) <= names; symbols++)
        if (!strcmp(names + symbols->st_name, FUNCTION))
            return image + symbols->st_value;
    return NULL;
}

uint64_t probe_aep(void)
{
    const unsigned char *function = find_function();

    for (int i = 0; function && i < FUNCTION_SIZE; i++)
        if (function[i] == 0x0f && function[i + 1] == 0x01 && function[i + 2] == 0xd7)
            return (uint64_t)(function + i);
    return 0;
}

int probe_build(void)
{
    struct enclave_file file;
    int fd = open("/dev/sgx_enclave", O_RDWR | O_CLOEXEC);
    int ret;

    if (fd < 0)
        return -errno;
    ret = enclave_file_open(&file, FILE_PATH);
    if (!ret)
        ret = enclave_create(fd, &file);
    if (!ret)
        ret = enclave_add_all(fd, &file);
    if (!ret)
        ret = enclave_init(fd, &file);
    if (!ret)
        return fd;
    close(fd);
    return ret;
}

int probe_build_to_lease(void)
{
    struct teemate_setup setup = {.flags = TEEMATE_SETUP_BACKING,
                                  .backing_fd = open("/dev/sgx_enclave", O_RDWR | O_CLOEXEC)};
    struct enclave_file file;
    int ret;

    if (setup.backing_fd < 0)
        return -errno;
    ret = enclave_file_open(&file, FILE_PATH);
    if (!ret)
        ret = enclave_build_of(&file, &setup);
    close(setup.backing_fd);
    return ret;
}

static int map_pages(int enclave, uint64_t page, uint64_t count, int prot)
{
    void *address = mmap((void *)AT(page), count * PAGE, prot, MAP_SHARED | MAP_FIXED, enclave, 0);

    return address == MAP_FAILED ? -errno : 0;
}

int probe_map(int enclave)
{
    int ret = map_pages(enclave, PROBE_CODE, 4, PROT_READ | PROT_EXEC);

    if (!ret)
        ret = map_pages(enclave, PROBE_TCS, PROBE_SCRATCH + PROBE_SCRATCH_COUNT - PROBE_TCS, PROT_READ | PROT_WRITE);
    if (!ret)
        ret = map_pages(enclave, PROBE_ABSENT, 64, PROT_READ | PROT_WRITE | PROT_EXEC);
    return ret;
}

void probe_unmap(void)
{
    munmap((void *)AT(0), PROBE_PAGES * PAGE);
}

uint64_t probe_tcs(unsigned int number)
{
    return AT(PROBE_TCS + number);
}

void probe_run(unsigned int leaf, unsigned int tcs, uint64_t op, uint64_t *words, struct sgx_enclave_run *run)
{
    memset(run, 0, sizeof(*run));
    run->tcs = probe_tcs(tcs);
    probe_vdso_call(op, words, 0, leaf, find_function(), 0, run);
}
