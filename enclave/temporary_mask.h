/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting with a signal mask that holds for one call: ppoll, pselect6, epoll_pwait. */
#ifndef TEEMATE_TEMPORARY_MASK_H
#define TEEMATE_TEMPORARY_MASK_H
#include <linux/errno.h>

#include "syscall.h"

/*
 * A blocking host call under `mask` (NULL: the thread's own), which the arguments already carry to the host.
 * When the call was interrupted the mask stays until signal_deliver has looked; else it is put back here.
 */
static inline long temporary_mask_wait(struct thread *self, const uint64_t *mask, uint32_t number, uint64_t a0,
                                       uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    if (!mask)
        return host_syscall_interruptible(number, a0, a1, a2, a3, a4, a5);
    signal_set_temporary_mask(self, *mask);
    if (signal_deliverable(self))
        return -EINTR;
    long result = host_syscall_interruptible(number, a0, a1, a2, a3, a4, a5);
    if (result != -EINTR) {
        self->signal_mask = self->saved_mask;
        self->has_saved_mask = 0;
    }
    return result;
}
#endif
