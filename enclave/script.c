// SPDX-License-Identifier: Apache-2.0
#include <asm/errno.h>

#include "program.h"
#include "string.h"

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

long script_parse(struct script_line *line, const char *head, uint64_t size)
{
    memset(line, 0, sizeof *line);
    if (size > SCRIPT_HEAD_SIZE)
        size = SCRIPT_HEAD_SIZE;
    uint64_t end = 2;
    while (end < size && head[end] != '\n' && head[end])
        end++;
    while (end > 2 && is_blank(head[end - 1]))
        end--;

    uint64_t start = 2;
    while (start < end && is_blank(head[start]))
        start++;
    uint64_t name_end = start;
    while (name_end < end && !is_blank(head[name_end]))
        name_end++;
    /* A name that goes on beyond what is looked at would be another program's; an argument is cut, as on Linux. */
    if (name_end == start || name_end == SCRIPT_HEAD_SIZE)
        return -ENOEXEC;
    memcpy(line->interpreter, head + start, name_end - start);

    start = name_end;
    while (start < end && is_blank(head[start]))
        start++;
    memcpy(line->argument, head + start, end - start);
    return 0;
}
