/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_MATE_CPU_TABLE_H
#define TEEMATE_MATE_CPU_TABLE_H
#include <stdint.h>

#include "sgx_platform.h"

/* Read the answers that follow struct lease_grant in the grant memfd; there may be none. */
void cpu_table_read(int grant);

/* The answer of the grant's table, if it has one. */
int cpu_table_find(uint32_t leaf, uint32_t subleaf, struct cpuid *answer);

/* The same, else the CPU's. Not on a thread that has been started: there CPUID may fault (sgx_cpuid). */
struct cpuid cpu_leaf(uint32_t leaf, uint32_t subleaf);
/* On a thread that has been started. */
struct cpuid cpu_leaf_on(const struct sgx_thread *thread, uint32_t leaf, uint32_t subleaf);

/* `mate cpuid`: write the table for this CPU to stdout, for the daemon. */
_Noreturn void cpu_table_print(void);
#endif
