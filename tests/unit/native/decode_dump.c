/* SPDX-License-Identifier: Apache-2.0 */
/* Reads "ADDRESS HEXBYTES" lines, writes for each the size and the flags that enclave/decode.c finds. */
#include <stdio.h>
#include <string.h>

#include "../../../enclave/decode.h"

int main(void)
{
    char address[32], hex[64];
    while (scanf("%31s %63s", address, hex) == 2) {
        uint8_t code[32];
        size_t size = strlen(hex) / 2;
        struct instruction instruction;
        for (size_t i = 0; i < size; i++)
            sscanf(hex + 2 * i, "%2hhx", &code[i]);
        if (!decode_instruction(code, size, &instruction))
            instruction = (struct instruction){0};
        printf("%s %u %u\n", address, instruction.size, instruction.flags);
    }
    return 0;
}
