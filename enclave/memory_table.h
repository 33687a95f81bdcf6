/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the program's table of mappings, under memory.lock. A vfork child keeps a copy of the table while it
 * changes it, so that its parent can take back what the child was killed in.
 */
#ifndef TEEMATE_MEMORY_TABLE_H
#define TEEMATE_MEMORY_TABLE_H
#include "compartment.h"

/* As vma_set, vma_clear and vma_protect. */
long memory_table_set(struct compartment *compartment, const struct vma *vma);
long memory_table_clear(struct compartment *compartment, uint64_t start, uint64_t end);
long memory_table_protect(struct compartment *compartment, uint64_t start, uint64_t end, uint32_t prot);

/* A vfork child has ended, and with it its host memory. */
void memory_table_end_child(struct compartment *compartment);

/* A holder of memory.lock has died: make table and counters true. Returns 0 if that cannot be. */
int memory_table_recover(struct compartment *compartment);
#endif
