/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_MATE_VDSO_H
#define TEEMATE_MATE_VDSO_H
#include <linux/time_types.h>
#include <stdint.h>

/* Address of the vDSO's function, or 0. `vdso` is AT_SYSINFO_EHDR. */
uint64_t vdso_find(uint64_t vdso, const char *name);

void vdso_start(uint64_t vdso);
/* clock_gettime: the vDSO's, or the system call where there is none. */
long vdso_clock_gettime(int clock, struct __kernel_timespec *time);
#endif
