/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_SYS_PROCESS_H
#define TEEMATE_SYS_PROCESS_H
#include "syscall.h"

/* A clone that asks for a new process (no CLONE_THREAD), its arguments as clone(2) has them. */
long sys_clone_process(struct syscall *call);
#endif
