/* SPDX-License-Identifier: Apache-2.0 */
/* `hostile_host` lists its cases; `hostile_host NAME` runs one. */
#include <stdio.h>
#include <string.h>

#include "cases.h"

static const struct fake_case *const lists[] = {file_cases, directory_cases, ioctl_cases, socket_cases,
                                                wait_cases, table_cases,     stack_cases, thread_cases};

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (const struct fake_case *entry = lists[i]; entry->name; entry++) {
            if (argc < 2) {
                puts(entry->name);
            } else if (!strcmp(argv[1], entry->name)) {
                entry->run();
                return 0;
            }
        }
    }
    return argc < 2 ? 0 : 2;
}
