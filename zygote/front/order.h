/* SPDX-License-Identifier: Apache-2.0 */
/* Obeying the zygote's orders: become a program, or run one. */
#ifndef TEEMATE_ZYGOTE_ORDER_H
#define TEEMATE_ZYGOTE_ORDER_H

#include <stddef.h>

#include "protocol.h"

struct order {
    char *path;
    char **arguments;
    unsigned descriptor_count;
    int descriptors[ORDER_DESCRIPTORS_MAX];
    int targets[ORDER_DESCRIPTORS_MAX];
};

/*
 * Read the order in `bytes`, which it goes on to use. `descriptors` are those that came with it; they are moved above
 * the numbers that they are to get. Return: 0, or an errno. Free with order_free in both cases.
 */
int order_read(struct order *order, char *bytes, size_t size, const int *descriptors, unsigned count);
void order_free(struct order *order);

/* Give a descriptor a number that the order's program does not get. Return: 0, or an errno, and it is as before. */
int order_move_above_targets(const struct order *order, int *fd);

/* Become the program. Return: an errno, and only if it failed. */
int order_exec(const struct order *order);

/* Run the program, passing on signals, until it has ended. Return: 0 and a status as a shell gives it, or an errno. */
int order_spawn(const struct order *order, unsigned *status);

#endif
