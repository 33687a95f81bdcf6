// SPDX-License-Identifier: Apache-2.0
/*
 * teemate-runtime, as container managers execute it.
 *
 * Which zygote is asked is only a matter of speed: the child that answers reads the settings for itself, and where
 * none answers the Python program does it all. So it does no harm that runtime.yaml is not truly parsed here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"

#define SETTINGS "/etc/teemate/runtime.yaml"
#define SETTINGS_BYTES 16384

const char *const program_name = "teemate-runtime";

/* --host DIR or --host=DIR among the global options, which end at the first word that is none. */
static const char *host_option(char **arguments)
{
    for (; *arguments && **arguments == '-'; arguments++) {
        const char *name = *arguments + strspn(*arguments, "-");

        if (strncmp(name, "host=", 5) == 0)
            return name + 5;
        if (strcmp(name, "host") == 0)
            return arguments[1];
        /* An option may have its value in the next word. */
        if (!strchr(name, '=') && arguments[1] && *arguments[1] != '-' && strcmp(name, "debug") != 0 &&
            strcmp(name, "systemd-cgroup") != 0)
            arguments++;
    }
    return NULL;
}

/* The value of `host:` in runtime.yaml, plain or quoted. */
static const char *host_setting(void)
{
    static char text[SETTINGS_BYTES];
    const char *path = getenv("TEEMATE_RUNTIME_CONFIG");
    int fd = open(path ? path : SETTINGS, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    char *line;

    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return NULL;
    text[size] = '\0';
    for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "host:", 5) == 0) {
            line += 5;
            line += strspn(line, " \t'\"");
            line[strcspn(line, " \t'\"#")] = '\0';
            return *line ? line : NULL;
        }
    }
    return NULL;
}

static const char *choose_host(char **arguments)
{
    const char *host = host_option(arguments);

    if (!host)
        host = getenv("TEEMATE_HOST");
    if (!host || !*host)
        host = host_setting();
    return host ? host : DEFAULT_HOST;
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int start_cold(char **argv)
{
    char path[4096 + sizeof("/../lib/teemate/teemate-runtime.py")];

    if (own_directory(path, 4096)) {
        fprintf(stderr, "%s: cannot find its own directory: %s\n", program_name, strerror(errno));
        return 1;
    }
    strcat(path, "/../lib/teemate/teemate-runtime.py");
    execv(path, argv);
    fprintf(stderr, "%s: %s: %s; run `make build`\n", program_name, path, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    int status = CALL_COLD;

    (void)argc;
    if (is_open(STDIN_FILENO) && is_open(STDOUT_FILENO) && is_open(STDERR_FILENO))
        status = call_zygote(choose_host(argv + 1), PROGRAM_RUNTIME, argv + 1);
    return status == CALL_COLD ? start_cold(argv) : status;
}
