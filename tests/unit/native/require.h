/* SPDX-License-Identifier: Apache-2.0 */
/* How a driver of parts of the LibOS ends when something is not as it should be. */
#ifndef TEEMATE_REQUIRE_H
#define TEEMATE_REQUIRE_H
#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition);                                        \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#endif
