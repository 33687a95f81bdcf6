// SPDX-License-Identifier: Apache-2.0
/*
 * From ECALL_START to the program's first instruction. What the host says about the process (ids, arguments, limits)
 * is copied once and checked for shape; its truth is the host's affair, as it is for any process.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/auxvec.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#include "address_layout.h"
#include "clock.h"
#include "enter.h"
#include "host.h"
#include "memory.h"
#include "program.h"
#include "string.h"
#include "thread.h"

/* The deepest part of the stack that any program's start touches. */
#define STACK_COMMIT_SIZE 0x3000

static _Noreturn void refuse_block(const char *fault)
{
    host_log(0, "cannot start: the mate's start block %s", fault);
    host_exit_group(EXIT_NOT_EXECUTABLE);
}

/* The head of the start block, copied. Returns where the strings are, outside. */
static const char *copy_start_block(const struct thread *self, struct start_block *block)
{
    uint64_t address = __atomic_load_n(&self->exchange->start_block, __ATOMIC_RELAXED);
    if (!outside_enclave(address, sizeof *block))
        refuse_block("does not lie outside of the enclave");
    memcpy(block, (const void *)address, sizeof *block);
    if (block->block_size < sizeof *block || block->block_size > START_BLOCK_SIZE_MAX ||
        !outside_enclave(address, block->block_size))
        refuse_block("has an impossible size");
    if (block->thread_count == 0 || block->thread_count > THREADS_MAX)
        refuse_block("has an impossible number of threads");
    if (block->xsave_size > XSAVE_SIZE_MAX)
        refuse_block("has an impossible size of the extended processor state");
    return (const char *)(address + sizeof *block);
}

static void set_identity(struct compartment *compartment, const struct start_block *block)
{
    compartment->process_id = block->process_id;
    compartment->parent_id = block->parent_id;
    compartment->uid = block->uid;
    compartment->euid = block->euid;
    compartment->gid = block->gid;
    compartment->egid = block->egid;
    compartment->secure = !!block->secure;
    compartment->hidden_fd_first = block->hidden_fd_first;
    compartment->hidden_fd_last = block->hidden_fd_last;
    compartment->thread_count = block->thread_count;
    compartment->flags = block->flags;
    compartment->hwcap = block->hwcap;
    compartment->hwcap2 = block->hwcap2;
    compartment->xsave_size = block->xsave_size;
    compartment->xfrm = block->xfrm;
}

/* The main stack, with the block's strings on top of it. */
static void make_stack(struct compartment *compartment, const struct start_block *block, const char *outside,
                       struct program_arguments *arguments)
{
    struct memory *memory = &compartment->memory;
    struct address_layout layout;
    uint64_t strings_size = block->block_size - sizeof *block;
    long result = address_layout_choose(compartment, block->stack_limit, block->memory_limit, &layout);
    if (result)
        program_refuse("the program", NULL, result);
    uint64_t low = layout.stack_low, high = layout.stack_high;
    result = memory_map_anonymous(compartment, low, high - low, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_STACK | MAP_FIXED, VMA_STACK);
    if (result < 0)
        program_refuse("the program", NULL, result);
    memory->map_low = layout.map_low;
    memory->map_high = layout.map_high;
    memory->brk_start = memory->brk = layout.brk_start;
    compartment->start_stack_low = low;
    compartment->start_stack_high = high;
    if (strings_size > stack_arguments_max(high - low))
        program_refuse("the program", NULL, -E2BIG);
    uint64_t commit = PAGE_ALIGN_UP(strings_size + layout.stack_offset) + STACK_COMMIT_SIZE;
    host_commit(high - commit - compartment->base, commit);
    high -= layout.stack_offset;

    memset(arguments, 0, sizeof *arguments);
    arguments->stack_low = low;
    arguments->stack_high = high;
    arguments->strings_low = high - 8 - strings_size;
    arguments->path = arguments->strings_low;
    arguments->argument_count = block->argument_count;
    arguments->environment_count = block->environment_count;
    memcpy((void *)arguments->strings_low, outside, strings_size);

    /* From here on the copy counts. Are there as many strings as the block says? */
    uint64_t at = arguments->path, end = at + strings_size;
    uint64_t expected = 1UL + block->argument_count + block->environment_count, found = 0;
    while (at < end && found < expected) {
        uint64_t next = at;
        while (next < end && *(const char *)next)
            next++;
        if (next == end)
            break;
        at = next + 1;
        if (++found == 1)
            arguments->first = at;
    }
    if (found != expected || at != end || at - arguments->path == 1)
        refuse_block("has other strings than it says");
}

/* A script is replaced by its interpreter, the interpreter's argument and the script's path. */
static void prepend_script(struct program_arguments *arguments, const struct script_line *line, uint64_t path)
{
    if (arguments->prefix_count) {
        arguments->prefix[0] = path;
    } else {
        arguments->prefix[arguments->prefix_count++] = path;
        arguments->skip = arguments->argument_count ? 1 : 0;
    }
    uint32_t added = line->argument[0] ? 2 : 1;
    for (uint32_t i = arguments->prefix_count; i-- > 0;)
        arguments->prefix[i + added] = arguments->prefix[i];
    arguments->prefix_count += added;
    if (line->argument[0])
        arguments->prefix[1] = stack_push_string(arguments, line->argument);
    arguments->prefix[0] = stack_push_string(arguments, line->interpreter);
}

/* Absolute, and without anything that would be left out of a path which the kernel writes. */
static int is_canonical(const char *path)
{
    if (*path != '/')
        return 0;
    for (const char *c = path; *c; c++)
        if (*c == '/' && (c[1] == '/' || c[1] == '.' || !c[1]))
            return 0;
    return 1;
}

/* At the path in `path`, of which no more than PATH_SIZE bytes are used. */
static long open_at(struct program_file *file, struct script_line *line, const char *path)
{
    size_t size = strlen(path) + 1;
    if (size > PATH_SIZE)
        return -ENAMETOOLONG;
    /* Then the path is what the host would say of the descriptor, which takes reading /proc to ask. */
    if (is_canonical(path)) {
        memcpy(host_buffer(), path, size);
        if (!program_open_resolved(file, line))
            return 0;
    }
    memcpy(host_buffer(), path, size);
    return program_open(file, line, AT_FDCWD, 0);
}

/* Open the program, by way of scripts' interpreters. Returns the path that was opened in the end. */
static const char *open_program(struct program_file *file, struct program_arguments *arguments)
{
    const char *program = (const char *)arguments->path, *path = program;
    for (int depth = 0;; depth++) {
        struct script_line line;
        long result = open_at(file, &line, path);
        if (result)
            program_refuse(program, depth ? path : NULL, result);
        if (!file->is_script)
            return path;
        program_close(file);
        if (depth == SCRIPT_DEPTH_MAX)
            program_refuse(program, NULL, -ELOOP);
        prepend_script(arguments, &line, (uint64_t)path);
        path = (const char *)arguments->prefix[0];
    }
}

/* /proc/self/exe: as the host resolved it, else as it was given. */
static void remember_path(struct compartment *compartment, const struct program_file *file, const char *path)
{
    static const char link[] = "/proc/self/fd/";
    char *buffer = host_buffer(), digits[12];
    uint32_t count = 0;
    if (file->is_resolved) {
        memcpy(compartment->program_path, path, strlen(path) + 1);
        return;
    }
    for (uint32_t number = (uint32_t)file->fd; number || !count; number /= 10)
        digits[count++] = (char)('0' + number % 10);
    memcpy(buffer, link, sizeof link - 1);
    for (uint32_t i = 0; i < count; i++)
        buffer[sizeof link - 1 + i] = digits[count - 1 - i];
    buffer[sizeof link - 1 + count] = 0;

    long size = host_syscall(__NR_readlink, (uint64_t)buffer, (uint64_t)buffer + PATH_SIZE, PATH_SIZE - 1, 0, 0, 0);
    if (size > 0 && size < PATH_SIZE) {
        memcpy(compartment->program_path, buffer + PATH_SIZE, (size_t)size);
        compartment->program_path[size] = 0;
    } else {
        memcpy(compartment->program_path, path, strlen(path) + 1); /* checked by open_program */
    }
}

/* Load the file. `interpreter`: as the program's dynamic linker, which changes where execution starts only. */
static void load(struct compartment *compartment, const struct program_file *file, const char *path,
                 struct program_image *image, int interpreter)
{
    struct elf_file elf;
    long result = program_check_elf(file, path, &elf);
    if (result)
        host_exit_group(EXIT_NOT_EXECUTABLE);
    long bias = elf_load(compartment, file, &elf);
    if (bias < 0)
        program_refuse(path, NULL, bias);
    image->start = (uint64_t)bias + elf.entry;
    if (interpreter) {
        image->interpreter_address = (uint64_t)bias + elf.low;
        return;
    }
    image->entry = image->start;
    image->headers_address = elf.headers_address ? (uint64_t)bias + elf.headers_address : 0;
    image->headers_count = elf.headers_count;
    image->executable_stack = elf.executable_stack;
    if (!elf.interpreter_size)
        return;
    if (program_interpreter_path(file, path, &elf))
        host_exit_group(EXIT_NOT_EXECUTABLE);
    image->interpreter_address = 1; /* to be loaded next, from the path in the host's buffer */
}

static void load_all(struct compartment *compartment, const struct program_file *file, const char *path,
                     struct program_image *image)
{
    struct program_file interpreter;
    struct script_line line;
    char name[PROGRAM_NAME_SIZE];
    load(compartment, file, path, image, 0);
    if (!image->interpreter_address)
        return;
    program_copy_name(name);
    long result = program_open(&interpreter, &line, AT_FDCWD, 0);
    if (!result && interpreter.is_script)
        result = -ENOEXEC;
    if (result)
        program_refuse(path, name, result);
    load(compartment, &interpreter, name, image, 1);
    program_close(&interpreter);
}

_Noreturn void program_start(struct thread *self)
{
    struct compartment *compartment = self->compartment;
    struct program_arguments arguments;
    struct program_image image = {0};
    struct program_file file;
    struct start_block block;

    __builtin_ia32_wrfsbase64(0); /* as natively; until now it was what the TCS says */
    const char *outside = copy_start_block(self, &block);
    memory_init(compartment, block.memory_limit);
    set_identity(compartment, &block);
    if (compartment->flags & START_TSC_CLOCK && !clock_try_tsc())
        compartment->flags &= ~(uint32_t)START_TSC_CLOCK;
    thread_use_cpu(self);
    self->thread_id = block.process_id;

    make_stack(compartment, &block, outside, &arguments);
    /* the block is copied now: the exchange buffer may be used */
    signal_reset(self, block.blocked_signals);
    const char *path = open_program(&file, &arguments);
    load_all(compartment, &file, path, &image);
    remember_path(compartment, &file, path);
    program_close(&file);
    if (image.executable_stack)
        memory_protect(compartment, arguments.stack_low, compartment->start_stack_high - arguments.stack_low,
                       PROT_READ | PROT_WRITE | PROT_EXEC);

    long stack = stack_build(compartment, &arguments, &image);
    if (stack < 0)
        program_refuse(path, NULL, stack);
    compartment->start_arguments = (uint64_t)stack;
    const struct registers registers = {
        .rip = image.start,
        .rsp = (uint64_t)stack,
        .rflags = 0x202,
    };
    program_enter(self, &registers);
}
