// SPDX-License-Identifier: Apache-2.0
/*
 * containerd executes `delete` after every orderly Delete too. The shim has removed all by then but its own socket,
 * which it removes last: that one is looked at.
 */
#define _GNU_SOURCE
#include "deleted.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ADDRESS_FILE "address"
#define ANSWER_FILE "deleted.pb"
#define SCHEME "unix://"
#define ANSWER_MAX 512

/* The bundle of a `delete` action: the value of -bundle, or the working directory. NULL: it is another action. */
static const char *bundle_to_delete(char *const *arguments)
{
    const char *bundle = ".";

    for (; *arguments && **arguments == '-'; arguments++) {
        const char *name = *arguments + strspn(*arguments, "-");

        if (strncmp(name, "bundle=", 7) == 0) {
            bundle = name + 7;
        } else if (!strchr(name, '=') && strcmp(name, "debug") != 0) {
            if (!arguments[1])
                return NULL;
            arguments++;
            if (strcmp(name, "bundle") == 0)
                bundle = *arguments;
        }
    }
    return *arguments && strcmp(*arguments, "delete") == 0 && *bundle ? bundle : NULL;
}

/* The whole of a file that is smaller than `size`; its length, or -1. */
static ssize_t read_file(int directory, const char *name, char *content, size_t size)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t length = fd < 0 ? -1 : read(fd, content, size);

    if (fd >= 0)
        close(fd);
    return length == (ssize_t)size ? -1 : length;
}

/* Is there no socket, or one on which a shim listens? What a dead shim leaves is to be removed. */
static int socket_needs_nothing(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, result;

    if (strlen(path) >= sizeof(address.sun_path))
        return 0;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    result = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == ENOENT;
    close(fd);
    return result;
}

static int socket_is_clean(int bundle)
{
    char address[sizeof(SCHEME) + sizeof(((struct sockaddr_un *)0)->sun_path)] = "";

    return read_file(bundle, ADDRESS_FILE, address, sizeof(address) - 1) > 0 &&
           strncmp(address, SCHEME, strlen(SCHEME)) == 0 && socket_needs_nothing(address + strlen(SCHEME));
}

int answer_for_deleted(char *const *arguments)
{
    const char *path = bundle_to_delete(arguments);
    int bundle = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    char answer[ANSWER_MAX];
    ssize_t length;
    int result = -1;

    if (bundle < 0)
        return -1;
    length = read_file(bundle, ANSWER_FILE, answer, sizeof(answer));
    if (length > 0 && socket_is_clean(bundle) && write(STDOUT_FILENO, answer, length) == length)
        result = 0;
    close(bundle);
    return result;
}
