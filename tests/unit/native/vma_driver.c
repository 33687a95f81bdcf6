// SPDX-License-Identifier: Apache-2.0
/*
 * Runs commands from standard input on a mapping table of the capacity in argv[1]. Answers each with its result
 * and the table: `RESULT start:end:prot:kind:flags ...`. All numbers are hexadecimal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vma.h"

static void print_table(const struct vma_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct vma *entry = &table->entries[i];
        printf(" %lx:%lx:%x:%x:%x", entry->start, entry->end, entry->prot, entry->kind, entry->flags);
    }
    putchar('\n');
    fflush(stdout);
}

static long run(struct vma_table *table, const char *command, const unsigned long *a)
{
    const struct vma entry = {
        .start = a[0], .end = a[1], .prot = (uint32_t)a[2], .kind = (uint32_t)a[3], .flags = (uint32_t)a[4]};
    if (!strcmp(command, "set"))
        return vma_set(table, &entry);
    if (!strcmp(command, "clear"))
        return vma_clear(table, a[0], a[1]);
    if (!strcmp(command, "protect"))
        return vma_protect(table, a[0], a[1], (uint32_t)a[2]);
    if (!strcmp(command, "search"))
        return vma_search(table, a[0]);
    if (!strcmp(command, "covers"))
        return vma_covers(table, a[0], a[1]);
    if (!strcmp(command, "overlaps"))
        return vma_overlaps(table, a[0], a[1]);
    if (!strcmp(command, "committed"))
        return (long)vma_committed(table, a[0], a[1]);
    if (!strcmp(command, "lowest"))
        return (long)vma_gap_lowest(table, a[0], a[1], a[2], a[3]);
    if (!strcmp(command, "highest"))
        return (long)vma_gap_highest(table, a[0], a[1], a[2], a[3]);
    fprintf(stderr, "unknown command %s\n", command);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    uint32_t capacity = (uint32_t)strtoul(argv[1], NULL, 10);
    /* Exactly as large as promised: one entry more is a report of the address sanitizer. */
    struct vma_table table = {.entries = calloc(capacity + VMA_TABLE_SLACK, sizeof(struct vma)), .capacity = capacity};
    char line[256], command[32];
    while (fgets(line, sizeof line, stdin)) {
        unsigned long a[5] = {0};
        if (sscanf(line, "%31s %lx %lx %lx %lx %lx", command, &a[0], &a[1], &a[2], &a[3], &a[4]) < 2)
            return 2;
        long result = run(&table, command, a);
        printf("%s%lx", result < 0 ? "-" : "", result < 0 ? -result : result);
        print_table(&table);
    }
    free(table.entries);
    return 0;
}
