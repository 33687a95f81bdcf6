/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which process has come back from an OCALL the host tells, by the operation in that process's exchange: the child's
 * last one, or still OCALL_VFORK in the parent's. For a child that was killed inside, the parent's first entry is
 * ECALL_VFORK_DIED. A host that lies ends the child early, which it may do anyway.
 */
#include "vfork.h"

#include <linux/errno.h>

#include "futex.h"
#include "host.h"
#include "lock_recovery.h"
#include "memory_table.h"
#include "string.h"
#include "syscall.h"

#define NR_GETPID 39
#define SIGABRT 6
#define PROCESS_ID_MAX 0x3fffffff
#define ERRNO_MAX 4095
#define OWN offsetof(struct thread, compartment)
#define STACK_MARGIN 0x400 /* between the parent's part of the stack and the child's XSAVE area */
#define XSAVE_AREA_SIZE 0x1000

/* The highest place for a frame and its XSAVE area below what is in use of this stack. */
static struct registers *frame_below(const void *in_use)
{
    uint64_t area = ((uint64_t)in_use - STACK_MARGIN - XSAVE_AREA_SIZE) & ~63UL;
    return (struct registers *)(area - REGISTERS_SIZE);
}

/* What the child was killed in cannot be gone on with. */
static _Noreturn void end_process(struct thread *self, const char *what)
{
    self->is_vfork_child = 0; /* whatever the host answers now, nothing returns to the parent */
    host_log(
        LOG_ERROR,
        "vfork: the child was killed while it changed %s, which it shares with its parent: the process cannot go on",
        what);
    host_raise_default(SIGABRT);
}

static _Noreturn void resume_parent(struct thread *self, long result)
{
    struct vfork_state *state = vfork_state(self);
    const char *torn = locks_recover(self);
    if (torn)
        end_process(self, torn);
    memcpy((char *)self + OWN, (char *)&state->parent + OWN, sizeof(*self) - OWN);
    self->syscall_number = state->parent.syscall_number;
    self->pending = 1; /* what came meanwhile */
    futex_end_child(self);
    memory_table_end_child(self->compartment);
    vfork_restore(&state->point, result, state->parent_frame);
}

static long result_of(const struct thread *self)
{
    int64_t result = ((volatile struct exchange *)self->exchange)->u.vfork.result;
    return result >= -ERRNO_MAX && result <= PROCESS_ID_MAX ? result : -EIO;
}

void vfork_check_return(struct thread *self)
{
    if (((volatile struct exchange *)self->exchange)->op != OCALL_VFORK)
        return;
    long result = result_of(self);
    resume_parent(self, result ? result : -EIO); /* the child has begun, and does so once */
}

void vfork_child_died(struct thread *self)
{
    long result = result_of(self);
    resume_parent(self, result ? result : -EIO);
}

/* On the child's frame. */
void vfork_returned(void)
{
    struct thread *self = thread_self();
    long result = result_of(self);
    if (result)
        resume_parent(self, result);

    long id = host_syscall(NR_GETPID, 0, 0, 0, 0, 0, 0);
    self->process_id = self->thread_id = id > 0 && id <= PROCESS_ID_MAX ? (uint32_t)id : 0;
    program_enter(self, &vfork_state(self)->child_registers);
}

/* What Linux does not pass on to a child. */
static void prepare_child(struct thread *self)
{
    self->is_vfork_child = 1;
    self->signal_pending = 0;
    self->signal_queue_count = 0;
    self->clear_child_tid = 0;
    self->robust_list = 0;
}

long vfork_process(struct thread *self, const struct registers *child)
{
    struct compartment *compartment = self->compartment;
    struct vfork_state *state = vfork_state(self);
    if (self->is_vfork_child)
        return -EAGAIN; /* a child of the child would need a third part of the stack */
    signal_learn_ignored(self); /* what the child finds out would be its own knowledge */
    spin_lock(&compartment->vfork_lock);
    compartment->vfork_count++;
    state->parent = *self;
    state->parent_frame = self->frame;
    state->child_registers = *child;
    spin_lock(&compartment->signal_lock);
    memcpy(state->actions, compartment->actions, sizeof(state->actions));
    spin_unlock(&compartment->signal_lock);

    long result = vfork_save(&state->point);
    if (result == 0) {
        prepare_child(self);
        ((volatile struct exchange *)self->exchange)->op = OCALL_VFORK;
        vfork_leave(frame_below(__builtin_frame_address(0)));
    }
    compartment->vfork_count++;
    spin_unlock(&compartment->vfork_lock);
    return result;
}
