/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses through the program's pointers. Only when one faults is it asked whether there is something to load. */
#include "usercopy.h"

#include <asm/errno.h>
#include <linux/mman.h>

#include "memory.h"
#include "thread.h"

static int load(const void *address, size_t size)
{
    struct compartment *compartment = thread_self()->compartment;
    int loaded = memory_load(compartment, (uint64_t)address, size);
    return memory_repair(compartment, (uint64_t)address, size, PROT_READ) || loaded;
}

long copy_from_program(void *to, const void *from, size_t size)
{
    long result = usercopy_bytes(to, from, size);
    return result && load(from, size) ? usercopy_bytes(to, from, size) : result;
}

long copy_to_program(void *to, const void *from, size_t size)
{
    long result = usercopy_bytes(to, from, size);
    return result && load(to, size) ? usercopy_bytes(to, from, size) : result;
}

long copy_string_from_program(char *to, const char *from, size_t size)
{
    long result = usercopy_string(to, from, size);
    return result == -EFAULT && load(from, size) ? usercopy_string(to, from, size) : result;
}

long load_u32_from_program(uint32_t *to, const uint32_t *from)
{
    long result = usercopy_load_u32(to, from);
    return result && load(from, sizeof *from) ? usercopy_load_u32(to, from) : result;
}

long exchange_u32_in_program(uint32_t *at, uint32_t *expected, uint32_t desired)
{
    long result = usercopy_exchange_u32(at, expected, desired);
    return result == -EFAULT && load(at, sizeof *at) ? usercopy_exchange_u32(at, expected, desired) : result;
}
