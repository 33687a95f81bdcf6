/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, loading and starting the program. */
#ifndef TEEMATE_PROGRAM_H
#define TEEMATE_PROGRAM_H
#include <stdint.h>

#include "compartment.h"
#include "elf_check.h"

/* Linux's own limits on `#!` lines: what is looked at, and how many scripts may call each other. */
#define SCRIPT_HEAD_SIZE 256
#define SCRIPT_DEPTH_MAX 4
/* As much of a path as a message shows. */
#define PROGRAM_NAME_SIZE 256

struct script_line {
    char interpreter[SCRIPT_HEAD_SIZE];
    char argument[SCRIPT_HEAD_SIZE]; /* empty: none */
};

/* An open program file. */
struct program_file {
    int fd;
    uint32_t is_script;
    uint32_t is_resolved; /* opened by a path without a symbolic link */
    uint64_t size;
    uint64_t head_size; /* bytes of it in host_buffer() */
};

/* Parse the first line of a script. 0, or -ENOEXEC if it names no interpreter. Pure. */
long script_parse(struct script_line *line, const char *head, uint64_t size);

/*
 * Open the file whose path is in host_buffer(), relative to a directory descriptor as openat(2) has it. Its head is
 * in host_buffer() afterwards; `line` is filled for a script. Returns 0, or -errno as execve(2) has it.
 */
long program_open(struct program_file *file, struct script_line *line, int directory_fd, uint32_t open_flags);
/* The same, for an absolute path, if the host can tell that no symbolic link is on its way. */
long program_open_resolved(struct program_file *file, struct script_line *line);
void program_close(const struct program_file *file);

/* Check the ELF headers, whose head is in host_buffer(). 0, or -ENOEXEC with the reason logged under `name`. */
long program_check_elf(const struct program_file *file, const char *name, struct elf_file *elf);

/* Copy the path of the interpreter to host_buffer(). 0 or -errno, logged as above. */
long program_interpreter_path(const struct program_file *file, const char *name, const struct elf_file *elf);

/* The first bytes of the path in host_buffer(), for messages. */
void program_copy_name(char name[PROGRAM_NAME_SIZE]);

#define EXIT_NOT_EXECUTABLE 126

/* Say why a program does not start, and end. `interpreter`: the one of its interpreters that is to blame, or NULL. */
_Noreturn void program_refuse(const char *path, const char *interpreter, long error);

/* Load the segments. Returns what to add to the file's addresses, or -errno. */
long elf_load(struct compartment *compartment, const struct program_file *file, const struct elf_file *elf);

/* What the program's stack tells it about itself. */
struct program_image {
    uint64_t entry; /* of the program */
    uint64_t headers_address; /* 0: not in memory */
    uint32_t headers_count;
    uint32_t executable_stack;
    uint64_t interpreter_address; /* 0: none */
    uint64_t start; /* first instruction: the interpreter's, if there is one */
};

/* The program's arguments while its stack is being built. */
struct program_arguments {
    uint64_t stack_low, stack_high;
    uint64_t strings_low; /* everything above is taken */
    uint64_t path; /* as given: AT_EXECFN */
    uint64_t first; /* argv strings in a row, then envp strings; the first `skip` are replaced by the prefix */
    uint32_t argument_count, environment_count;
    uint32_t skip;
    uint32_t prefix_count; /* from scripts; in order */
    uint64_t prefix[2 * SCRIPT_DEPTH_MAX + 1];
};

/* What arguments and environment may take of a stack, as on Linux. */
uint64_t stack_arguments_max(uint64_t stack_size);

/* Copy a string onto the stack. Returns its address. */
uint64_t stack_push_string(struct program_arguments *arguments, const char *string);

/* Lay out argv, envp and auxv. Returns the initial stack pointer, or -E2BIG. */
long stack_build(const struct compartment *compartment, struct program_arguments *arguments,
                 const struct program_image *image);
#endif
