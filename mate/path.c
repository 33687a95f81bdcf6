/* SPDX-License-Identifier: Apache-2.0 */
#include "path.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "log.h"
#include "string.h"
#include "syscall.h"

#define PATH_VARIABLE "PATH="
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define X_OK 1

static const char *search_path(char **environment)
{
    for (; *environment; environment++)
        if (!strncmp(*environment, PATH_VARIABLE, strlen(PATH_VARIABLE)))
            return *environment + strlen(PATH_VARIABLE);
    return PATH_DEFAULT;
}

/* 0, or why it cannot be executed. */
static long check_executable(const char *path)
{
    struct statx status;
    long result = syscall5(__NR_statx, AT_FDCWD, path, 0, STATX_TYPE, &status);

    if (result)
        return result;
    if (!S_ISREG(status.stx_mode))
        return -EACCES;
    return syscall4(__NR_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS);
}

static _Noreturn void fail(const char *program, long error)
{
    switch (-error) {
    case ENOENT:
    case ENOTDIR:
        if (strchr(program, '/'))
            die_with(EXIT_NOT_FOUND, "exec: \"%s\": no such file or directory", program);
        die_with(EXIT_NOT_FOUND, "exec: \"%s\": executable file not found in $PATH", program);
    case EACCES:
        die_with(EXIT_NOT_EXECUTABLE, "exec: \"%s\": permission denied", program);
    case ENAMETOOLONG:
        die_with(EXIT_NOT_EXECUTABLE, "exec: the program's path is longer than %d bytes", PATH_LENGTH_MAX);
    default:
        die_with(EXIT_NOT_EXECUTABLE, "exec: \"%s\": error %d", program, (int)-error);
    }
}

/* "directory/program", an empty directory being the current one. Returns 0 if that is too long. */
static int join(char *out, const char *directory, size_t size, const char *program)
{
    size_t program_size = strlen(program) + 1;

    if (size + 1 + program_size > PATH_LENGTH_MAX)
        return 0;
    memcpy(out, directory, size);
    if (size)
        out[size++] = '/';
    memcpy(out + size, program, program_size);
    return 1;
}

static long search(const char *program, const char *directories, char *found)
{
    long answer = -ENOENT;

    for (;;) {
        const char *end = strchr(directories, ':');
        size_t size = end ? (size_t)(end - directories) : strlen(directories);

        if (join(found, directories, size, program)) {
            long error = check_executable(found);

            if (!error)
                return 0;
            if (error == -EACCES) /* what execvp reports if nothing better follows */
                answer = error;
        }
        if (!end)
            return answer;
        directories = end + 1;
    }
}

const char *path_resolve(const char *program, char **environment)
{
    static char found[PATH_LENGTH_MAX] __attribute__((section(".bss.rare")));
    const char *path = program;
    long error;

    if (strlen(program) >= PATH_LENGTH_MAX)
        fail(program, -ENAMETOOLONG);
    if (!*program)
        fail(program, -ENOENT);
    if (strchr(program, '/')) {
        error = check_executable(program);
    } else {
        error = search(program, search_path(environment), found);
        path = found;
    }
    if (error)
        fail(program, error);
    return path;
}
