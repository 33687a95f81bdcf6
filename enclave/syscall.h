/* SPDX-License-Identifier: Apache-2.0 */
/* System call handlers: one file per family (sys_<family>.c); syscall_table.def is the data. */
#ifndef TEEMATE_SYSCALL_H
#define TEEMATE_SYSCALL_H
#include <stdint.h>

#include "compartment.h"
#include "host.h"
#include "thread.h"
#include "usercopy.h"

#define ERESTARTSYS 512 /* interrupted: restart if the handler has SA_RESTART, else -EINTR */
#define ERESTARTNOHAND 514 /* interrupted: -EINTR if a handler runs, else restart */

struct syscall {
    struct thread *thread;
    struct compartment *compartment;
    struct registers *registers;
    uint64_t number;
    uint64_t args[6];
};

typedef long (*syscall_handler)(struct syscall *call);

/* Every sys_<name>() that syscall_table.def names */
#define HANDLED(number, name, ...) long sys_##name(struct syscall *call);
#define PASSED(...)
#define REFUSED(...)
#define UNSUPPORTED(...)
#include "syscall_table.def"
#undef HANDLED
#undef PASSED
#undef REFUSED
#undef UNSUPPORTED

/* Called by program_switch.S on the LibOS stack, for trapped and patched sites alike. */
void syscall_entry(struct registers *registers);

/* Is this a descriptor that the program may not see (the mate's own)? */
static inline int fd_is_hidden(const struct compartment *compartment, uint64_t fd)
{
    return (uint32_t)fd >= compartment->hidden_fd_first && (uint32_t)fd <= compartment->hidden_fd_last;
}
#endif
