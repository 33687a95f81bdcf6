/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_MATE_OPTIONS_H
#define TEEMATE_MATE_OPTIONS_H

struct options {
    int janitor;
    int cpuid;
    int lease_fd;
    int executable_fd; /* -1 unless given */
    int exec_fresh; /* the compartment holds no program yet */
    const char *exec_path; /* the program's path, already resolved; NULL: look arguments[0] up */
    char **arguments; /* the program's, from ARG0 on */
};

/* Ends the process with a message when the command line is not one of those in main.c. */
void options_parse(struct options *options, char **arguments);
#endif
