/* SPDX-License-Identifier: Apache-2.0 */
/* What an interrupted host call becomes, as Linux has it for that call (signal(7)). */
#ifndef TEEMATE_RESTART_H
#define TEEMATE_RESTART_H
#include <linux/errno.h>

#include "syscall.h"

/* Calls that SA_RESTART restarts */
static inline long restartable(long result)
{
    return result == -EINTR ? -ERESTARTSYS : result;
}

/* Calls that a handler always ends */
static inline long restartable_uncaught(long result)
{
    return result == -EINTR ? -ERESTARTNOHAND : result;
}
#endif
