// SPDX-License-Identifier: Apache-2.0
/*
 * containerd-shim-teemate-v2, as containerd executes it.
 *
 * containerd reads stdout and stderr as one, so that nothing but the answer may be printed when all is well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "deleted.h"

const char *const program_name = "containerd-shim-teemate-v2";

/* The same call by the python beside this program. */
static int start_cold(int argc, char **argv)
{
    char python[4096 + sizeof("/python3")];
    char **words = calloc(argc + 4, sizeof(*words));

    if (!words || own_directory(python, 4096)) {
        fprintf(stderr, "%s: cannot find python: %s\n", program_name, strerror(errno));
        return 1;
    }
    strcat(python, "/python3");
    words[0] = python;
    words[1] = "-I";
    words[2] = "-m";
    words[3] = "shim";
    for (int i = 1; i < argc; i++)
        words[3 + i] = argv[i];
    execv(python, words);
    fprintf(stderr, "%s: %s: %s; run `make build`\n", program_name, python, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    const char *host = getenv("TEEMATE_HOST");
    int status;

    if (argc > 1 && answer_for_deleted(argv + 1) == 0)
        return 0;
    status = call_zygote(host ? host : DEFAULT_HOST, PROGRAM_SHIM, argv + 1);
    return status == CALL_COLD ? start_cold(argc, argv) : status;
}
