/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads "RAX SYSCALL_OFFSET HEXBYTES" lines, writes what enclave/patch_window.c chooses before and after the call:
 * start, size and whether it is a single instruction, or "- - -".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../enclave/patch_window.h"

static void show(int found, const struct patch_window *window)
{
    if (found)
        printf("%u %u %d ", window->start, window->size, window->single);
    else
        printf("- - - ");
}

int main(void)
{
    static char hex[4 * 2 * NEIGHBOURHOOD];
    unsigned long rax;
    unsigned syscall;
    while (scanf("%lx %u %1024s", &rax, &syscall, hex) == 3) {
        struct patch_text text = {.size = (uint32_t)(strlen(hex) / 2), .syscall = syscall};
        struct patch_window before, after;
        for (uint32_t i = 0; i < text.size; i++)
            sscanf(hex + (size_t)2 * i, "%2hhx", &text.bytes[i]);
        show(patch_window_before(&text, rax, &before), &before);
        show(patch_window_after(&text, &after), &after);
        printf("\n");
    }
    return 0;
}
