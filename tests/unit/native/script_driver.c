// SPDX-License-Identifier: Apache-2.0
/* Prints what script_parse() makes of standard input: `error N`, or the interpreter and its argument in brackets. */
#include <stdio.h>
#include <stdlib.h>

#include "program.h"

int main(void)
{
    char *head = malloc(4096);
    size_t size = fread(head, 1, 4096, stdin);
    head = realloc(head, size ? size : 1); /* exactly: the sanitizer sees one byte more */
    struct script_line line;
    long result = script_parse(&line, head, size);
    if (result)
        printf("error %ld\n", -result);
    else
        printf("[%s] [%s]\n", line.interpreter, line.argument);
    free(head);
    return 0;
}
