/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/errno.h>

#include "ocall.h"

void ocall_vfork(struct host_thread *thread)
{
    thread->exchange->u.vfork.result = -ENOSYS;
}
