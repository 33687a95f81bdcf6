// SPDX-License-Identifier: Apache-2.0
#include "proc_view.h"

#include <linux/errno.h>

#include "string.h"
#include "usercopy.h"

/* The longest path that has a view: the longest name after "/proc/thread-self/", or a number of ten digits */
#define VIEW_PATH_SIZE 32

struct view_name {
    const char *name;
    enum proc_file file;
};

static const struct view_name view_names[] = {
    {"exe", PROC_EXE}, {"maps", PROC_MAPS}, {"cmdline", PROC_CMDLINE}, {"environ", PROC_ENVIRON}, {"auxv", PROC_AUXV},
};

/* If `path` starts with `prefix`: what follows it, else NULL. */
static const char *after(const char *path, const char *prefix)
{
    size_t size = strlen(prefix);

    return strncmp(path, prefix, size) ? 0 : path + size;
}

/* What follows the process's own number and a slash, else NULL. */
static const char *after_process_id(const char *path, uint32_t process_id)
{
    uint64_t number = 0;
    const char *digit = path;

    for (; *digit >= '0' && *digit <= '9' && digit - path < 10; digit++)
        number = number * 10 + (*digit - '0');
    return digit > path && *path != '0' && *digit == '/' && number == process_id ? digit + 1 : 0;
}

enum proc_file proc_view_find(const struct compartment *compartment, const char *path)
{
    char copy[VIEW_PATH_SIZE];

    if (copy_string_from_program(copy, path, sizeof(copy)) < 0)
        return PROC_NONE;
    const char *rest = after(copy, "/proc/");
    if (!rest)
        return PROC_NONE;
    const char *name = after(rest, "self/");
    if (!name)
        name = after(rest, "thread-self/");
    if (!name)
        name = after_process_id(rest, compartment->process_id);
    if (!name)
        return PROC_NONE;
    for (size_t i = 0; i < sizeof(view_names) / sizeof(view_names[0]); i++)
        if (!strcmp(name, view_names[i].name))
            return view_names[i].file;
    return PROC_NONE;
}

long proc_view_put_path(const struct compartment *compartment, char *to, const char *path, size_t size)
{
    if (proc_view_find(compartment, path) != PROC_EXE)
        return copy_string_from_program(to, path, size);
    size_t length = strlen(compartment->program_path);
    if (length >= size)
        return -ENAMETOOLONG;
    memcpy(to, compartment->program_path, length + 1);
    return length;
}
