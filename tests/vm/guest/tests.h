/* SPDX-License-Identifier: Apache-2.0 */
/* The phases; each returns an exit status. */
#ifndef TEST_TESTS_H
#define TEST_TESTS_H

int construct_test(void);
int lease_test(void);
int end_test(void);
int isolation_test(void);
int accounting_test(void);
int hardware_test(void);
int memory_test(void);
int races_test(void);
/* failing: with set_failing */
int fuzz(unsigned int steps, unsigned int seed, int failing);
int stress(unsigned int rounds);
/* Prints "count NAME NUMBER" lines */
int count_instructions(void);
int enclu_test(void);
int enclu_death_test(void);
int enclu_lease_test(void);
/* What a process executes that had an enclave */
int no_enclave(void);
int enclu_fuzz(unsigned int steps, unsigned int seed, int failing);
#endif
