// SPDX-License-Identifier: Apache-2.0
/* Opening programs, as execve(2) finds and refuses them. */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "host.h"
#include "program.h"
#include "string.h"

#define X_OK 1

/* The host's answers about the file, checked where a wrong one could mislead. */
static long look_at(struct program_file *file, struct script_line *line)
{
    struct stat stat;
    char *buffer = host_buffer();
    long result = host_syscall(__NR_fstat, (uint64_t)file->fd, (uint64_t)buffer, 0, 0, 0, 0);
    if (result < 0)
        return result;
    memcpy(&stat, buffer, sizeof stat);
    if (!S_ISREG(stat.st_mode) || stat.st_size < 0)
        return -EACCES;
    file->size = (uint64_t)stat.st_size;

    result = host_syscall(__NR_pread64, (uint64_t)file->fd, (uint64_t)buffer, ELF_HEAD_SIZE, 0, 0, 0);
    if (result < 0)
        return result;
    if (result > ELF_HEAD_SIZE)
        return -EIO;
    file->head_size = (uint64_t)result;

    char head[SCRIPT_HEAD_SIZE];
    uint64_t size = file->head_size < sizeof head ? file->head_size : sizeof head;
    memcpy(head, buffer, size);
    file->is_script = size >= 2 && head[0] == '#' && head[1] == '!';
    return file->is_script ? script_parse(line, head, size) : 0;
}

/* What openat or openat2 has answered for the path in the buffer. */
static long examine(struct program_file *file, struct script_line *line, long opened)
{
    volatile char *path = host_buffer();
    if (opened < 0)
        return opened;
    if (opened > INT32_MAX)
        return -EIO;
    *file = (struct program_file){.fd = (int)opened};
    /* By descriptor: the path may mean another file by now. The empty path is the buffer's NUL. */
    *path = 0;
    long result =
        host_syscall(__NR_faccessat2, (uint64_t)file->fd, (uint64_t)path, X_OK, AT_EMPTY_PATH | AT_EACCESS, 0, 0);
    if (!result)
        result = look_at(file, line);
    if (result < 0)
        program_close(file);
    return result < 0 ? result : 0;
}

long program_open(struct program_file *file, struct script_line *line, int directory_fd, uint32_t open_flags)
{
    return examine(file, line,
                   host_syscall(__NR_openat, (uint64_t)(int64_t)directory_fd, (uint64_t)host_buffer(),
                                O_RDONLY | O_CLOEXEC | open_flags, 0, 0, 0));
}

long program_open_resolved(struct program_file *file, struct script_line *line)
{
    const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
    char *path = host_buffer(), *outside = path + PATH_SIZE;
    memcpy(outside, &how, sizeof how);
    long result = examine(
        file, line,
        host_syscall(__NR_openat2, (uint64_t)(int64_t)AT_FDCWD, (uint64_t)path, (uint64_t)outside, sizeof how, 0, 0));
    file->is_resolved = !result;
    return result;
}

void program_copy_name(char name[PROGRAM_NAME_SIZE])
{
    memcpy(name, host_buffer(), PROGRAM_NAME_SIZE - 1);
    name[PROGRAM_NAME_SIZE - 1] = 0;
}

void program_close(const struct program_file *file)
{
    host_syscall(__NR_close, (uint64_t)file->fd, 0, 0, 0, 0, 0);
}

long program_check_elf(const struct program_file *file, const char *name, struct elf_file *elf)
{
    const char *fault = elf_check(elf, host_buffer(), file->head_size, file->size);
    if (!fault)
        return 0;
    host_log(0, "cannot run %s: it %s", name, fault);
    return -ENOEXEC;
}

long program_interpreter_path(const struct program_file *file, const char *name, const struct elf_file *elf)
{
    volatile char *buffer = host_buffer();
    long result = host_syscall(__NR_pread64, (uint64_t)file->fd, (uint64_t)buffer, elf->interpreter_size,
                               elf->interpreter_offset, 0, 0);
    if (result < 0)
        return result;
    if ((uint64_t)result != elf->interpreter_size || buffer[elf->interpreter_size - 1]) {
        host_log(0, "cannot run %s: the path of its dynamic linker has no end", name);
        return -ENOEXEC;
    }
    return 0;
}
