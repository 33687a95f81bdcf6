/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and futexes of a host that starts threads other than it says. */
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <sys/mman.h>

#include "cases.h"
#include "extended_state.h"
#include "fake.h"
#include "futex.h"
#include "usercopy.h"
#include "vfork.h"

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define MAIN_ID 77
#define CHILD_ID 78
#define SLOTS 4

static long answer;
static int enters_thread;
static jmp_buf aborted;

long host_clone_thread(uint32_t slot)
{
    if (enters_thread) /* as entry.S does */
        thread_at(&fake_compartment, slot)->state = THREAD_RUNNING;
    return answer;
}

_Noreturn void host_raise_default(uint32_t signal)
{
    (void)signal;
    longjmp(aborted, 1);
}

void extended_state_save(struct extended_state *area, uint64_t xfrm)
{
    (void)area, (void)xfrm;
}

static void set_up(void)
{
    void *memory = mmap(0, VMAS_OFFSET, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    EXPECT(memory != MAP_FAILED);
    fake_compartment.base = (uint64_t)memory;
    fake_compartment.thread_count = SLOTS;
    fake_compartment.slots_used = fake_compartment.threads_alive = 1;
    thread_at(&fake_compartment, 0)->state = THREAD_RUNNING;
    thread_at(&fake_compartment, 0)->thread_id = MAIN_ID;
}

static void threads_that_were_not_to_be_keep_their_slot(void)
{
    set_up();
    answer = -EAGAIN;
    EXPECT(CALL(clone, THREAD_FLAGS) == -EAGAIN);
    EXPECT(thread_at(&fake_compartment, 1)->state == THREAD_FREE && fake_compartment.threads_alive == 1);
    enters_thread = 1;
    EXPECT(CALL(clone, THREAD_FLAGS) == -EAGAIN);
    EXPECT(thread_at(&fake_compartment, 1)->state == THREAD_RUNNING);
    answer = CHILD_ID;
    EXPECT(CALL(clone, THREAD_FLAGS) == CHILD_ID);
    EXPECT(thread_at(&fake_compartment, 2)->thread_id == CHILD_ID);
}

static int aborts(long id)
{
    answer = id;
    if (setjmp(aborted))
        return 1;
    CALL(clone, THREAD_FLAGS);
    return 0;
}

static void two_threads_do_not_get_one_id(void)
{
    set_up();
    enters_thread = 1;
    EXPECT(aborts(MAIN_ID));
    EXPECT(!aborts(CHILD_ID));
    EXPECT(aborts(CHILD_ID));
    /* a thread that has ended leaves its id to others */
    thread_at(&fake_compartment, 2)->state = THREAD_FREE;
    EXPECT(!aborts(CHILD_ID + 1));
}

long load_u32_from_program(uint32_t *to, const uint32_t *from)
{
    *to = *from;
    return 0;
}

long usercopy_load_u32(uint32_t *to, const uint32_t *from)
{
    return load_u32_from_program(to, from);
}

long host_futex_wait(const struct host_deadline *deadline)
{
    (void)deadline;
    longjmp(aborted, 1); /* the process, a vfork child, is gone */
}

static void waits_that_were_cut_off_take_no_room(void)
{
    static struct exchange exchange;
    uint32_t word = 0;

    set_up();
    struct thread *thread = thread_at(&fake_compartment, 0);
    thread->compartment = &fake_compartment;
    thread->exchange = &exchange;
    for (volatile int i = 0; i < 2; i++)
        if (!setjmp(aborted))
            futex_wait(thread, (uint64_t)&word, 0, FUTEX_ANY_BIT, 0);
        else
            futex_end_child(thread);
    EXPECT(fake_compartment.futex_waiter_count == 0);
}

static long restored;

long vfork_save(struct vfork_point *point)
{
    (void)point;
    return 0;
}

_Noreturn void vfork_leave(struct registers *child_frame)
{
    (void)child_frame;
    longjmp(aborted, 1);
}

_Noreturn void vfork_restore(struct vfork_point *point, long result, struct registers *frame)
{
    (void)point, (void)frame;
    restored = result;
    longjmp(aborted, 1);
}

static long result_in_parent(struct thread *thread, int64_t answer_of_host)
{
    thread->exchange->op = OCALL_VFORK;
    thread->exchange->u.vfork.result = answer_of_host;
    if (!setjmp(aborted))
        vfork_check_return(thread);
    return restored;
}

static void a_child_begins_once(void)
{
    static struct exchange exchange;

    set_up();
    struct thread *thread = thread_at(&fake_compartment, 0);
    thread->compartment = &fake_compartment;
    thread->exchange = &exchange;
    vfork_state(thread)->parent = *thread;
    EXPECT(result_in_parent(thread, CHILD_ID) == CHILD_ID);
    EXPECT(result_in_parent(thread, -EAGAIN) == -EAGAIN);
    EXPECT(result_in_parent(thread, 0) == -EIO);
    EXPECT(result_in_parent(thread, 1L << 40) == -EIO);
}

static struct thread *begin_child(struct exchange *exchange)
{
    set_up();
    struct thread *thread = thread_at(&fake_compartment, 0);
    thread->compartment = &fake_compartment;
    thread->exchange = exchange;
    thread->state = THREAD_RUNNING;
    vfork_state(thread)->parent = *thread;
    thread->is_vfork_child = 1;
    restored = 0;
    return thread;
}

static void locks_of_a_dead_child_are_freed(void)
{
    static struct exchange exchange;
    static struct thread sibling;

    struct thread *thread = begin_child(&exchange);
    fake_compartment.fd_lock.holder = fake_compartment.clocks[1].lock.holder = (uint64_t)thread;
    fake_compartment.signal_lock.holder = (uint64_t)&sibling;
    EXPECT(result_in_parent(thread, CHILD_ID) == CHILD_ID);
    EXPECT(!fake_compartment.fd_lock.holder && !fake_compartment.clocks[1].lock.holder);
    EXPECT(fake_compartment.signal_lock.holder == (uint64_t)&sibling); /* who lives, and goes on */
    EXPECT(!thread->is_vfork_child);
}

/* What it was changing cannot be trusted: the process ends, whatever the host answers. */
static void a_half_made_change_of_a_dead_child_ends_the_process(void)
{
    static struct exchange exchange;

    struct thread *thread = begin_child(&exchange);
    fake_compartment.fd_lock.holder = (uint64_t)thread;
    fake_compartment.fd_lock.changing = 1;
    EXPECT(result_in_parent(thread, CHILD_ID) == 0);
    EXPECT(fake_compartment.fd_lock.holder == (uint64_t)thread && !thread->is_vfork_child);
}

static void a_child_starts_no_threads(void)
{
    static struct exchange exchange;

    begin_child(&exchange);
    thread_self()->is_vfork_child = 1;
    answer = CHILD_ID;
    EXPECT(CALL(clone, THREAD_FLAGS) == -EAGAIN);
    EXPECT(fake_compartment.threads_alive == 1);
    thread_self()->is_vfork_child = 0;
}

const struct fake_case thread_cases[] = {
    {"threads_that_were_not_to_be_keep_their_slot", threads_that_were_not_to_be_keep_their_slot},
    {"two_threads_do_not_get_one_id", two_threads_do_not_get_one_id},
    {"waits_that_were_cut_off_take_no_room", waits_that_were_cut_off_take_no_room},
    {"a_child_begins_once", a_child_begins_once},
    {"locks_of_a_dead_child_are_freed", locks_of_a_dead_child_are_freed},
    {"a_half_made_change_of_a_dead_child_ends_the_process", a_half_made_change_of_a_dead_child_ends_the_process},
    {"a_child_starts_no_threads", a_child_starts_no_threads},
    {0, 0},
};
