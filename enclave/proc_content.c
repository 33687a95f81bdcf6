// SPDX-License-Identifier: Apache-2.0
/* The LibOS's own content of files in /proc, handed to the program as a memfd that the LibOS has filled. */
#include <asm/unistd.h>
#include <limits.h>
#include <linux/auxvec.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>

#include "host.h"
#include "proc_view.h"
#include "string.h"
#include "usercopy.h"

#define ADDRESS_DIGITS 12
#define LABEL_COLUMN 73
#define PIECE_SIZE 256

struct content {
    uint32_t descriptor;
    uint64_t used; /* of the exchange buffer */
    long error;
};

static void flush(struct content *content)
{
    uint64_t buffer = (uint64_t)host_buffer(), done = 0;

    while (done < content->used && !content->error) {
        long written = host_syscall(__NR_write, content->descriptor, buffer + done, content->used - done, 0, 0, 0);
        if (written < 0)
            content->error = written;
        else if (!written || (uint64_t)written > content->used - done)
            content->error = -EIO;
        else
            done += written;
    }
    content->used = 0;
}

static void put(struct content *content, const void *bytes, size_t size)
{
    if (size > HOST_BUFFER_SIZE - content->used)
        flush(content);
    memcpy(host_buffer() + content->used, bytes, size);
    content->used += size;
}

static char *format_address(char *to, uint64_t address)
{
    for (int digit = ADDRESS_DIGITS - 1; digit >= 0; digit--)
        *to++ = "0123456789abcdef"[address >> digit * 4 & 15];
    return to;
}

/* Copies out the first mapping that ends above the address. 0 when there is none. */
static int next_mapping(struct compartment *compartment, uint64_t address, struct vma *out)
{
    struct memory *memory = &compartment->memory;

    spin_lock(&memory->lock);
    uint32_t index = vma_search(&memory->vmas, address);
    int found = index < memory->vmas.count;
    if (found)
        *out = memory->vmas.entries[index];
    spin_unlock(&memory->lock);
    return found;
}

/* As in proc(5): address range, permissions, offset, device, inode, name. */
static void put_maps(struct compartment *compartment, struct content *content)
{
    static const char no_file[] = " 00000000 00:00 0 ";
    struct vma vma;

    for (uint64_t address = 0; next_mapping(compartment, address, &vma); address = vma.end) {
        char line[LABEL_COLUMN + sizeof("[stack]\n")];
        const char *label = vma.flags & VMA_STACK ? "[stack]" : vma.flags & VMA_BRK ? "[heap]" : "";
        char *at = format_address(line, vma.start);
        *at++ = '-';
        at = format_address(at, vma.end);
        *at++ = ' ';
        *at++ = vma.prot & PROT_READ ? 'r' : '-';
        *at++ = vma.prot & PROT_WRITE ? 'w' : '-';
        *at++ = vma.prot & PROT_EXEC ? 'x' : '-';
        *at++ = vma.kind == VMA_SHARED ? 's' : 'p';
        memcpy(at, no_file, sizeof(no_file) - 1);
        at += sizeof(no_file) - 1;
        if (*label) {
            memset(at, ' ', line + LABEL_COLUMN - at);
            at = line + LABEL_COLUMN;
            memcpy(at, label, strlen(label));
            at += strlen(label);
        }
        *at++ = '\n';
        put(content, line, at - line);
    }
}

/* One word of the block that the program found on its stack. Gone or unreadable: as the end of a list. */
static uint64_t start_word(uint64_t address)
{
    uint64_t word;

    return copy_from_program(&word, (const void *)address, sizeof(word)) ? 0 : word;
}

/* A string with its NUL. The program may have changed it, also in length, as on Linux. */
static void put_string(struct content *content, uint64_t string)
{
    char piece[PIECE_SIZE];
    long length;

    while ((length = copy_string_from_program(piece, (const char *)string, sizeof(piece))) == -ENAMETOOLONG &&
           !content->error) {
        put(content, piece, sizeof(piece));
        string += sizeof(piece);
    }
    if (length >= 0)
        put(content, piece, length + 1);
}

/* The strings of a list of pointers that ends with NULL. Returns the address after it. */
static uint64_t put_strings(struct content *content, uint64_t list, int wanted)
{
    uint64_t string;

    for (; (string = start_word(list)) && !content->error; list += sizeof(uint64_t))
        if (wanted)
            put_string(content, string);
    return list + sizeof(uint64_t);
}

static void put_start(const struct compartment *compartment, enum proc_file file, struct content *content)
{
    uint64_t arguments = compartment->start_arguments + sizeof(uint64_t);
    uint64_t environment = put_strings(content, arguments, file == PROC_CMDLINE);

    if (file == PROC_CMDLINE)
        return;
    uint64_t vector = put_strings(content, environment, file == PROC_ENVIRON);
    if (file == PROC_ENVIRON)
        return;
    for (uint64_t pair[2] = {1, 0}; pair[0] != AT_NULL; vector += sizeof(pair)) {
        pair[0] = start_word(vector);
        pair[1] = start_word(vector + sizeof(uint64_t));
        put(content, pair, sizeof(pair));
    }
}

static const char *content_name(enum proc_file file)
{
    switch (file) {
    case PROC_MAPS:
        return "maps";
    case PROC_CMDLINE:
        return "cmdline";
    case PROC_ENVIRON:
        return "environ";
    default:
        return "auxv";
    }
}

long proc_view_open(struct compartment *compartment, enum proc_file file, uint64_t open_flags)
{
    const char *name = content_name(file);

    if ((open_flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    memcpy(host_buffer(), name, strlen(name) + 1);
    long descriptor =
        host_syscall(__NR_memfd_create, (uint64_t)host_buffer(), open_flags & O_CLOEXEC ? MFD_CLOEXEC : 0, 0, 0, 0, 0);
    if (descriptor < 0)
        return descriptor;
    if (descriptor > INT_MAX ||
        (descriptor >= compartment->hidden_fd_first && descriptor <= compartment->hidden_fd_last))
        return -EIO;

    struct content content = {.descriptor = descriptor};
    if (file == PROC_MAPS)
        put_maps(compartment, &content);
    else
        put_start(compartment, file, &content);
    flush(&content);
    if (!content.error)
        content.error = host_syscall(__NR_lseek, descriptor, 0, 0, 0, 0, 0);
    if (content.error) {
        host_syscall(__NR_close, descriptor, 0, 0, 0, 0, 0);
        return content.error < 0 ? content.error : -EIO;
    }
    return descriptor;
}
