/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's vDSO is a small ELF library that is mapped already; its dynamic symbols are all we need of it. */
#include "vdso.h"

#include <linux/elf.h>

#include "string.h"
#include "syscall.h"

typedef long clock_function(int clock, struct __kernel_timespec *time);

static uint64_t vdso_address;
/* Found when it is first needed: many programs never ask for the time. */
static clock_function *clock_gettime;

struct vdso_tables {
    const Elf64_Sym *symbols;
    const char *strings;
    uint64_t symbol_count;
};

static const Elf64_Phdr *program_header(const Elf64_Ehdr *header, uint32_t type)
{
    const Elf64_Phdr *headers = (const Elf64_Phdr *)((const char *)header + header->e_phoff);

    for (int i = 0; i < header->e_phnum; i++)
        if (headers[i].p_type == type)
            return &headers[i];
    return NULL;
}

/* DT_HASH has the number of symbols; a vDSO with DT_GNU_HASH alone has its string table right behind them. */
static uint64_t count_symbols(const struct vdso_tables *tables, const uint32_t *hash)
{
    if (hash)
        return hash[1];
    return ((uint64_t)tables->strings - (uint64_t)tables->symbols) / sizeof(Elf64_Sym);
}

static int read_tables(const Elf64_Ehdr *header, uint64_t offset, struct vdso_tables *tables)
{
    const Elf64_Phdr *dynamic = program_header(header, PT_DYNAMIC);
    const uint32_t *hash = NULL;

    if (!dynamic)
        return 0;
    for (const Elf64_Dyn *entry = (const Elf64_Dyn *)(offset + dynamic->p_vaddr); entry->d_tag != DT_NULL; entry++) {
        uint64_t address = offset + entry->d_un.d_ptr;

        if (entry->d_tag == DT_SYMTAB)
            tables->symbols = (const Elf64_Sym *)address;
        else if (entry->d_tag == DT_STRTAB)
            tables->strings = (const char *)address;
        else if (entry->d_tag == DT_HASH)
            hash = (const uint32_t *)address;
    }
    if (!tables->symbols || !tables->strings)
        return 0;
    tables->symbol_count = count_symbols(tables, hash);
    return 1;
}

uint64_t vdso_find(uint64_t vdso, const char *name)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)vdso;
    struct vdso_tables tables = {0};
    const Elf64_Phdr *load;
    uint64_t offset;

    if (!vdso)
        return 0;
    load = program_header(header, PT_LOAD);
    if (!load)
        return 0;
    offset = vdso + load->p_offset - load->p_vaddr;
    if (!read_tables(header, offset, &tables))
        return 0;
    for (uint64_t i = 0; i < tables.symbol_count; i++) {
        const Elf64_Sym *symbol = &tables.symbols[i];

        if (symbol->st_shndx != SHN_UNDEF && !strcmp(tables.strings + symbol->st_name, name))
            return offset + symbol->st_value;
    }
    return 0;
}

void vdso_start(uint64_t vdso)
{
    vdso_address = vdso;
}

static long call_clock_gettime(int clock, struct __kernel_timespec *time)
{
    return syscall2(__NR_clock_gettime, clock, time);
}

static clock_function *find_clock_gettime(void)
{
    clock_function *found = (clock_function *)vdso_find(vdso_address, "__vdso_clock_gettime");

    if (!found)
        found = call_clock_gettime;
    __atomic_store_n(&clock_gettime, found, __ATOMIC_RELAXED);
    return found;
}

long vdso_clock_gettime(int clock, struct __kernel_timespec *time)
{
    clock_function *function = __atomic_load_n(&clock_gettime, __ATOMIC_RELAXED);

    if (!function)
        function = find_clock_gettime();
    return function(clock, time);
}
