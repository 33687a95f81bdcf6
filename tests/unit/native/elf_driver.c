// SPDX-License-Identifier: Apache-2.0
/* Prints what elf_check() says of the file in argv[1]: `fault TEXT`, or `ok` and the fields. */
#include <stdio.h>
#include <stdlib.h>

#include "elf_check.h"

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    FILE *file = fopen(argv[1], "rb");
    if (!file)
        return 2;
    /* On the heap and no larger than what is there: reading beyond it is a report of the address sanitizer. */
    unsigned char *head = malloc(ELF_HEAD_SIZE);
    size_t size = fread(head, 1, ELF_HEAD_SIZE, file);
    head = realloc(head, size ? size : 1);
    fseek(file, 0, SEEK_END);
    struct elf_file elf;
    const char *fault = elf_check(&elf, head, size, (uint64_t)ftell(file));
    fclose(file);
    free(head);
    if (fault) {
        printf("fault %s\n", fault);
        return 0;
    }
    printf("ok entry=%lx low=%lx high=%lx alignment=%lx headers=%lx interpreter=%lx+%lx stack_x=%u", elf.entry, elf.low,
           elf.high, elf.alignment, elf.headers_address, elf.interpreter_offset, elf.interpreter_size,
           elf.executable_stack);
    for (uint32_t i = 0; i < elf.segment_count; i++)
        printf(" %lx:%lx:%lx:%lx:%x", elf.segments[i].offset, elf.segments[i].address, elf.segments[i].file_size,
               elf.segments[i].memory_size, elf.segments[i].prot);
    putchar('\n');
    return 0;
}
