/* SPDX-License-Identifier: Apache-2.0 */
/* `where` prints where the parts of the program are; `deep N` uses N KiB of the stack. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP 1024

static int where(void)
{
    int on_stack;
    void *mapping = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("stack %p map %p brk %p code %p\n", (void *)&on_stack, mapping, sbrk(0), (void *)where);
    return 0;
}

static __attribute__((noinline)) int deep(volatile char *above, long steps)
{
    volatile char here[STEP];
    memset((char *)here, (int)steps, STEP);
    int result = steps ? deep(here, steps - 1) : 0;
    return result + (above && above[STEP - 1] != (char)(steps + 1)) + (here[0] != (char)steps);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "where"))
        return where();
    if (argc > 2 && !strcmp(argv[1], "deep")) {
        int wrong = deep(NULL, strtol(argv[2], NULL, 10));
        printf("%s\n", wrong ? "wrong" : "good");
        return wrong;
    }
    return 2;
}
