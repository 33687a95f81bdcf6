// SPDX-License-Identifier: Apache-2.0
/*
 * The initial stack as the System V ABI wants it, from the top down: strings, random bytes, auxv, envp, argv,
 * argc. The program is not running yet, so its memory is written directly.
 */
#include <asm/errno.h>
#include <linux/auxvec.h>
#include <linux/elf.h>

#include "host.h"
#include "memory.h"
#include "program.h"
#include "random.h"
#include "string.h"

#define CLOCK_TICKS_PER_SECOND 100
#define RANDOM_SIZE 16
/* What a signal frame needs besides the extended state: see AT_MINSIGSTKSZ in getauxval(3). */
#define SIGNAL_FRAME_BASE_SIZE 1152
/* Arguments may take a quarter of the stack, but always so much, and no more than three quarters of the usual one. */
#define ARGUMENTS_SIZE_LOW 0x20000
#define ARGUMENTS_SIZE_HIGH 0x600000

uint64_t stack_arguments_max(uint64_t stack_size)
{
    uint64_t size = stack_size / 4;
    if (size < ARGUMENTS_SIZE_LOW)
        size = ARGUMENTS_SIZE_LOW;
    return size < ARGUMENTS_SIZE_HIGH ? size : ARGUMENTS_SIZE_HIGH;
}

uint64_t stack_push_string(struct program_arguments *arguments, const char *string)
{
    size_t size = strlen(string) + 1;
    arguments->strings_low -= size;
    memcpy((void *)arguments->strings_low, string, size);
    return arguments->strings_low;
}

/* Writes argument pointers and auxv entries one after the other. */
struct writer {
    uint64_t *at;
};

static void put(struct writer *writer, uint64_t word)
{
    *writer->at++ = word;
}

static void put_aux(struct writer *writer, uint64_t type, uint64_t value)
{
    put(writer, type);
    put(writer, value);
}

static uint64_t put_strings(struct writer *writer, uint64_t string, uint32_t count, uint32_t skip)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i >= skip)
            put(writer, string);
        string += strlen((const char *)string) + 1;
    }
    return string;
}

static void put_auxv(struct writer *writer, const struct compartment *compartment, const struct program_image *image,
                     uint64_t path, uint64_t platform, uint64_t random)
{
    put_aux(writer, AT_HWCAP, compartment->hwcap);
    put_aux(writer, AT_PAGESZ, PAGE_SIZE);
    put_aux(writer, AT_CLKTCK, CLOCK_TICKS_PER_SECOND);
    put_aux(writer, AT_PHDR, image->headers_address);
    put_aux(writer, AT_PHENT, sizeof(Elf64_Phdr));
    put_aux(writer, AT_PHNUM, image->headers_count);
    put_aux(writer, AT_BASE, image->interpreter_address);
    put_aux(writer, AT_FLAGS, 0);
    put_aux(writer, AT_ENTRY, image->entry);
    put_aux(writer, AT_UID, compartment->uid);
    put_aux(writer, AT_EUID, compartment->euid);
    put_aux(writer, AT_GID, compartment->gid);
    put_aux(writer, AT_EGID, compartment->egid);
    put_aux(writer, AT_SECURE, compartment->secure);
    put_aux(writer, AT_RANDOM, random);
    put_aux(writer, AT_HWCAP2, compartment->hwcap2);
    put_aux(writer, AT_MINSIGSTKSZ, compartment->xsave_size + SIGNAL_FRAME_BASE_SIZE);
    put_aux(writer, AT_EXECFN, path);
    put_aux(writer, AT_PLATFORM, platform);
    put_aux(writer, AT_NULL, 0);
}
#define AUX_COUNT 20

long stack_build(const struct compartment *compartment, struct program_arguments *arguments,
                 const struct program_image *image)
{
    uint64_t argument_count = arguments->argument_count - arguments->skip + arguments->prefix_count;
    uint64_t platform = stack_push_string(arguments, "x86_64");
    uint64_t random = (arguments->strings_low - RANDOM_SIZE) & ~15UL;
    if (random_bytes((void *)random, RANDOM_SIZE)) /* never from the host: it becomes the stack protector's canary */
        return -ENODEV;

    uint64_t words = 1 + argument_count + 1 + arguments->environment_count + 1 + 2 * AUX_COUNT;
    if (arguments->stack_high - random + words * 8 > stack_arguments_max(arguments->stack_high - arguments->stack_low))
        return -E2BIG;
    uint64_t stack = (random - words * 8) & ~15UL;

    struct writer writer = {.at = (uint64_t *)stack};
    put(&writer, argument_count);
    for (uint32_t i = 0; i < arguments->prefix_count; i++)
        put(&writer, arguments->prefix[i]);
    uint64_t environment = put_strings(&writer, arguments->first, arguments->argument_count, arguments->skip);
    put(&writer, 0);
    put_strings(&writer, environment, arguments->environment_count, 0);
    put(&writer, 0);
    put_auxv(&writer, compartment, image, arguments->path, platform, random);
    return (long)stack;
}
