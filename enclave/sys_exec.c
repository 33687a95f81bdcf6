// SPDX-License-Identifier: Apache-2.0
/*
 * execve. All that can be wrong with the program is found out here, while the caller can still be told; then the
 * host process re-executes the mate, which has this compartment erased and starts the program in it (start.c).
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>

#include "proc_view.h"
#include "program.h"
#include "string.h"
#include "syscall.h"

/* The packed strings of path, argv and envp, in the exchange buffer. */
struct packing {
    char *buffer;
    uint64_t size;
};

/* Is what host_buffer() names a program that can be run? `name` is for messages. */
static long check_program(const char *name, int directory_fd, uint32_t open_flags)
{
    struct script_line line;
    struct program_file file;
    struct elf_file elf;
    for (int depth = 0;; depth++) {
        long result = program_open(&file, &line, directory_fd, open_flags);
        if (result)
            return result;
        if (!file.is_script)
            break;
        program_close(&file);
        if (depth == SCRIPT_DEPTH_MAX)
            return -ELOOP;
        memcpy(host_buffer(), line.interpreter, sizeof line.interpreter);
        open_flags = 0;
    }
    /* No ELF file: a shell reads it as a script of its own then, and expects no message. */
    long result = -ENOEXEC;
    if (file.head_size >= sizeof(uint32_t) && !memcmp(host_buffer(), "\177ELF", sizeof(uint32_t)))
        result = program_check_elf(&file, name, &elf);
    if (!result && elf.interpreter_size) {
        result = program_interpreter_path(&file, name, &elf);
        program_close(&file);
        if (result)
            return result;
        result = program_open(&file, &line, AT_FDCWD, 0);
        if (result)
            return result;
        result = file.is_script ? -ENOEXEC : program_check_elf(&file, "the dynamic linker of a program", &elf);
    }
    program_close(&file);
    return result;
}

static long pack_string(struct packing *packing, uint64_t string)
{
    long size = copy_string_from_program(packing->buffer + packing->size, (const char *)string,
                                         HOST_BUFFER_SIZE - packing->size);
    if (size == -ENAMETOOLONG)
        return -E2BIG;
    if (size < 0)
        return size;
    packing->size += (uint64_t)size + 1;
    return 0;
}

/* The strings of a NULL-terminated array. Returns how many, or -errno. */
static long pack_array(struct packing *packing, uint64_t array)
{
    for (long count = 0; array; count++, array += sizeof(uint64_t)) {
        uint64_t string;
        if (copy_from_program(&string, (const void *)array, sizeof string))
            return -EFAULT;
        if (!string)
            return count;
        long result = pack_string(packing, string);
        if (result)
            return result;
    }
    return 0;
}

/* The program has been checked, and its path is in the buffer. Returns only if the host refuses. */
static long execute(long path_size, uint64_t argv, uint64_t envp)
{
    struct packing packing = {.buffer = host_buffer(), .size = (uint64_t)path_size + 1};
    long argument_count = pack_array(&packing, argv);
    if (argument_count < 0)
        return argument_count;
    long environment_count = pack_array(&packing, envp);
    if (environment_count < 0)
        return environment_count;
    return host_execve((uint32_t)argument_count, (uint32_t)environment_count, packing.size);
}

long sys_execve(struct syscall *call)
{
    char name[PROGRAM_NAME_SIZE];
    const char *path = (const char *)call->args[0];
    long size = proc_view_put_path(call->compartment, host_buffer(), path, PATH_SIZE);
    if (size <= 0)
        return size ? size : -ENOENT;
    program_copy_name(name);
    long result = check_program(name, AT_FDCWD, 0);
    if (result)
        return result;
    size = proc_view_put_path(call->compartment, host_buffer(), path, PATH_SIZE);
    if (size <= 0)
        return size ? size : -ENOENT;
    return execute(size, call->args[1], call->args[2]);
}

/*
 * Put the absolute path of what a descriptor and a path relative to it name into the host's buffer. A descriptor
 * does not survive the mate's re-execution when it is close-on-exec, so that the name must do.
 */
static long put_path_at(int directory_fd, const char *path)
{
    char link[] = "/proc/self/fd/\0         ";
    uint32_t at = sizeof "/proc/self/fd/" - 1, number = (uint32_t)directory_fd, divisor = 1;
    while (number / divisor >= 10)
        divisor *= 10;
    for (; divisor; divisor /= 10)
        link[at++] = (char)('0' + number / divisor % 10);
    link[at] = 0;

    char *buffer = host_buffer(), *link_copy = buffer + 2 * PATH_SIZE;
    memcpy(link_copy, link, at + 1);
    long size = host_syscall(__NR_readlink, (uint64_t)link_copy, (uint64_t)buffer, PATH_SIZE - 1, 0, 0, 0);
    if (size <= 0 || size >= PATH_SIZE)
        return size == -ENOENT ? -EBADF : size < 0 ? size : -EIO;
    buffer[size] = '/';
    long rest = copy_string_from_program(buffer + size + 1, path, PATH_SIZE);
    if (rest <= 0) {
        buffer[size] = 0;
        return rest ? rest : size;
    }
    size += 1 + rest;
    return size < PATH_SIZE ? size : -ENAMETOOLONG;
}

long sys_execveat(struct syscall *call)
{
    int directory_fd = (int)call->args[0];
    const char *path = (const char *)call->args[1];
    uint64_t flags = call->args[4];
    char first, name[PROGRAM_NAME_SIZE];
    if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    if (copy_from_program(&first, path, 1))
        return -EFAULT;
    if (!first && !(flags & AT_EMPTY_PATH))
        return -ENOENT;
    if (fd_is_hidden(call->compartment, (uint32_t)directory_fd))
        return -EBADF;

    int by_name = first == '/' || (first && directory_fd == AT_FDCWD);
    if (!first && directory_fd == AT_FDCWD)
        return -EACCES; /* the current directory */
    for (int pass = 0;; pass++) {
        long size = by_name ? proc_view_put_path(call->compartment, host_buffer(), path, PATH_SIZE)
                            : put_path_at(directory_fd, path);
        if (size <= 0)
            return size ? size : -ENOENT;
        if (pass)
            return execute(size, call->args[2], call->args[3]);
        program_copy_name(name);
        long result = check_program(name, AT_FDCWD, flags & AT_SYMLINK_NOFOLLOW && first ? O_NOFOLLOW : 0);
        if (result)
            return result;
    }
}
