/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One bit for each page of the compartment: may it hold anything but zeros? A page becomes dirty when it is made
 * writable, clean when it is trimmed. New mappings need zeroing only where the map says so.
 * Under memory.lock. Pages are numbered from the compartment's base.
 */
#ifndef TEEMATE_DIRTY_MAP_H
#define TEEMATE_DIRTY_MAP_H
#include <stdint.h>

void dirty_map_set(uint64_t *map, uint64_t first, uint64_t end);
void dirty_map_clear(uint64_t *map, uint64_t first, uint64_t end);
uint64_t dirty_map_count(const uint64_t *map, uint64_t first, uint64_t end);

/* The first run of dirty pages in [first, end). Returns 0 if there is none. */
int dirty_map_run(const uint64_t *map, uint64_t first, uint64_t end, uint64_t *run_first, uint64_t *run_end);
#endif
