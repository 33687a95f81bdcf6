// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "container.h"
#include "tests.h"

int main(int count, char **arguments)
{
    const char *name = count > 1 ? arguments[1] : "";

    catch_faults();
    if (!strcmp(name, "construct"))
        return construct_test();
    if (!strcmp(name, "lease"))
        return lease_test();
    if (!strcmp(name, "end"))
        return end_test();
    if (!strcmp(name, "isolation"))
        return isolation_test();
    if (!strcmp(name, "accounting"))
        return accounting_test();
    if (!strcmp(name, "hardware"))
        return hardware_test();
    if (!strcmp(name, "memory"))
        return memory_test();
    if (!strcmp(name, "races"))
        return races_test();
    if (!strcmp(name, "fuzz") && count == 4)
        return fuzz((unsigned int)atoi(arguments[2]), (unsigned int)atoi(arguments[3]), 0);
    if (!strcmp(name, "failing-fuzz") && count == 4)
        return fuzz((unsigned int)atoi(arguments[2]), (unsigned int)atoi(arguments[3]), 1);
    if (!strcmp(name, "stress") && count == 3)
        return stress((unsigned int)atoi(arguments[2]));
    if (!strcmp(name, "count"))
        return count_instructions();
    if (!strcmp(name, "enclu"))
        return enclu_test();
    if (!strcmp(name, "enclu-death"))
        return enclu_death_test();
    if (!strcmp(name, "enclu-lease"))
        return enclu_lease_test();
    if (!strcmp(name, "no-enclave"))
        return no_enclave();
    if (!strcmp(name, "enclu-fuzz") && count == 4)
        return enclu_fuzz((unsigned int)atoi(arguments[2]), (unsigned int)atoi(arguments[3]), 0);
    if (!strcmp(name, "failing-enclu-fuzz") && count == 4)
        return enclu_fuzz((unsigned int)atoi(arguments[2]), (unsigned int)atoi(arguments[3]), 1);
    if (!strcmp(name, "container") && count == 4)
        return container_main(atoi(arguments[2]), atoi(arguments[3]));
    fprintf(stderr, "vmtest: unknown phase \"%s\"\n", name);
    return 2;
}
