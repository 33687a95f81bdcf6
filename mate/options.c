/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "log.h"
#include "path.h"
#include "string.h"

#define NOT_GIVEN (-1)
#define USAGE "usage: mate --lease-fd=N [--] PROGRAM [ARG...] | mate janitor | mate cpuid"

/* The value behind "name=", or NULL if this is another option. */
static const char *value_of(const char *argument, const char *name)
{
    size_t size = strlen(name);

    return strncmp(argument, name, size) ? NULL : argument + size;
}

static int number_of(const char *argument, const char *value)
{
    long number = parse_number(value);

    if (number < 0)
        die("%s is not a descriptor number. " USAGE, argument);
    return (int)number;
}

static void check(const struct options *options)
{
    if (options->lease_fd == NOT_GIVEN)
        die("--lease-fd is missing. " USAGE);
    if (!options->arguments[0] && !options->exec_path)
        die("no program was given. " USAGE);
    if (options->exec_path && strlen(options->exec_path) >= PATH_LENGTH_MAX)
        die("the path of --exec is longer than %d bytes", PATH_LENGTH_MAX - 1);
}

void options_parse(struct options *options, char **arguments)
{
    *options = (struct options){.lease_fd = NOT_GIVEN, .executable_fd = NOT_GIVEN};
    if (!arguments[0] || !arguments[1])
        die(USAGE);
    arguments++;
    if (!strcmp(arguments[0], "janitor") && !arguments[1]) {
        options->janitor = 1;
        return;
    }
    if (!strcmp(arguments[0], "cpuid") && !arguments[1]) {
        options->cpuid = 1;
        return;
    }
    for (; arguments[0] && arguments[0][0] == '-'; arguments++) {
        const char *value;

        if (!strcmp(arguments[0], "--")) {
            arguments++;
            break;
        }
        if ((value = value_of(arguments[0], "--lease-fd=")))
            options->lease_fd = number_of(arguments[0], value);
        else if ((value = value_of(arguments[0], "--executable-fd=")))
            options->executable_fd = number_of(arguments[0], value);
        else if (!strcmp(arguments[0], "--exec") && arguments[1])
            options->exec_path = *++arguments;
        else if (!strcmp(arguments[0], "--exec-fresh") && arguments[1]) {
            options->exec_path = *++arguments;
            options->exec_fresh = 1;
        } else
            die("unknown option %s. " USAGE, arguments[0]);
    }
    options->arguments = arguments;
    check(options);
}
