// SPDX-License-Identifier: Apache-2.0
/* Why a program does not start, for the user, and the exit status that shells know for it. */
#include <asm/errno.h>

#include "host.h"
#include "program.h"

#define EXIT_NOT_FOUND 127

static const char *reason(long error)
{
    switch (error) {
    case -ENOENT:
        return "no such file";
    case -ENOEXEC:
        return "it is not a program, nor a script that names its interpreter";
    case -EACCES:
        return "permission denied: it must be a regular file that is readable and executable";
    case -ELOOP:
        return "too many symbolic links, or scripts that interpret each other";
    case -ENAMETOOLONG:
        return "its path is too long";
    case -E2BIG:
        return "its arguments and environment are too large";
    case -EIO:
        return "its file cannot be read as far as its headers say: it is damaged, or was truncated just now";
    case -ENODEV:
        return "the CPU's random number generator fails (RDRAND): do not run anything here that needs secrets";
    case -ENOMEM:
        return "it does not fit the memory that its pool allows; raise the pool's `memory`";
    default:
        return 0;
    }
}

_Noreturn void program_refuse(const char *path, const char *interpreter, long error)
{
    const char *why = reason(error);
    const char *by = interpreter ? ": its interpreter " : "", *name = interpreter ? interpreter : "";
    if (why)
        host_log(0, "cannot run %s%s%s: %s", path, by, name, why);
    else
        host_log(0, "cannot run %s%s%s: error %ld", path, by, name, -error);
    host_exit_group(error == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}
