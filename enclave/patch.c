/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lazy patching: a system call or CPUID that came by #UD costs an AEX. Where it can be done safely, its site becomes a
 * jump to a trampoline, which carries the replaced instructions and jumps to syscall_enter or cpuid_enter.
 *
 *   before:  [carried]  lea SITE+2(%rip),%rcx  jmp *%gs:8
 *   after:   lea 1f(%rip),%rcx  jmp *%gs:8  1: [carried]  jmp WINDOW_END
 *
 * That is a system call, which overwrites RCX. CPUID overwrites RBX, and its jump is *%gs:136.
 * No trampoline touches the stack, whose red zone is the program's. A trampoline starts with a record which says
 * where the replaced instructions went, for a thread that comes back into the middle of the window: the one
 * that trapped, and by sigreturn any context which a handler interrupted there (patch_forward_address).
 *
 * Other threads may be running the very bytes. So while there is more than one, only a single instruction
 * before the call is replaced, by one store into one aligned block of 16 bytes, the unit of instruction fetch.
 */
#include "enter.h"
#include "patch_window.h"
#include "string.h"
#include "syscall.h"

#define SITE_SIZE 2 /* SYSCALL, CPUID */
#define ENTRY_CALL_SIZE 15 /* lea, jmp */
#define FETCH_BLOCK 16
#define TRAMPOLINE_STRIDE 64
#define OPCODE_JUMP 0xe9
#define TRAP_COUNT_BITS 2
#define TRAP_COUNT_MASK 3

/* The calls whose sites stay as they are. */
enum { NR_RT_SIGRETURN = 15, NR_CLONE = 56, NR_FORK = 57, NR_VFORK = 58, NR_CLONE3 = 435 };

struct trampoline {
    uint64_t window; /* address of the replaced instructions */
    uint16_t window_size;
    uint16_t carried; /* offset in code of the first one that is carried */
    uint16_t first; /* its offset in the window */
    uint16_t reserved;
    uint8_t code[TRAMPOLINE_STRIDE - 16];
};
_Static_assert(sizeof(struct trampoline) == TRAMPOLINE_STRIDE, "trampoline");

/* Traps of a site that are let pass. A CPUID that is met twice is often one of a loop. */
static const uint8_t patch_after[] = {[PATCH_SYSCALL] = 2, [PATCH_CPUID] = 1};

static uint64_t trampolines_start(const struct compartment *compartment)
{
    return compartment->base + TRAMPOLINES_OFFSET;
}

static int in_trampolines(const struct compartment *compartment, uint64_t address)
{
    return address - trampolines_start(compartment) < TRAMPOLINES_SIZE;
}

/* rel32 of an instruction that ends at `end`. 0 if it is too far. */
static int set_relative(uint8_t *at, uint64_t end, uint64_t target)
{
    int64_t distance = (int64_t)(target - end);
    int32_t relative = (int32_t)distance;
    memcpy(at, &relative, sizeof(relative));
    return relative == distance;
}

/* lea target(%rip),REGISTER; jmp *%gs:ENTRY */
static int put_entry_call(uint8_t *at, uint64_t target, enum patch_kind kind)
{
    static const uint8_t templates[][ENTRY_CALL_SIZE] = {
        [PATCH_SYSCALL] = {0x48, 0x8d, 0x0d, 0, 0, 0, 0, 0x65, 0xff, 0x24, 0x25, THREAD_SYSCALL_ENTRY, 0, 0, 0},
        [PATCH_CPUID] = {0x48, 0x8d, 0x1d, 0, 0, 0, 0, 0x65, 0xff, 0x24, 0x25, THREAD_CPUID_ENTRY, 0, 0, 0},
    };
    memcpy(at, templates[kind], ENTRY_CALL_SIZE);
    return set_relative(at + 3, (uint64_t)at + 7, target);
}

static int put_jump(uint8_t *at, uint64_t address, uint64_t target)
{
    at[0] = OPCODE_JUMP;
    return set_relative(at + 1, address + JUMP_SIZE, target);
}

/* Fills the trampoline in place: nobody knows of it yet. */
static int build(struct trampoline *trampoline, const struct patch_text *text, const struct patch_window *window,
                 uint64_t site, enum patch_kind kind)
{
    uint64_t address = site - text->syscall + window->start;
    const uint8_t *replaced = text->bytes + window->start;
    *trampoline = (struct trampoline){.window = address, .window_size = (uint16_t)window->size};
    if (window->before) {
        memcpy(trampoline->code, replaced, window->size);
        return put_entry_call(trampoline->code + window->size, site + SITE_SIZE, kind);
    }
    uint32_t carried_size = window->size - SITE_SIZE;
    uint8_t *carried = trampoline->code + ENTRY_CALL_SIZE;
    trampoline->carried = ENTRY_CALL_SIZE;
    trampoline->first = SITE_SIZE;
    memcpy(carried, replaced + SITE_SIZE, carried_size);
    return put_entry_call(trampoline->code, (uint64_t)carried, kind) &&
           put_jump(carried + carried_size, (uint64_t)carried + carried_size, address + window->size);
}

/* One store of eight bytes which changes five of them. Only when all five are in one fetch block. */
static int store_jump(uint64_t address, const uint8_t jump[JUMP_SIZE], const uint8_t *replaced)
{
    uint64_t block_end = (address | (FETCH_BLOCK - 1)) + 1;
    uint64_t start = address + sizeof(uint64_t) <= block_end ? address : block_end - sizeof(uint64_t);
    uint64_t old = __atomic_load_n((uint64_t *)start, __ATOMIC_RELAXED), new = old;
    uint8_t *at = (uint8_t *)&new + (address - start);
    if (memcmp(at, replaced, JUMP_SIZE))
        return 0; /* not what was decoded */
    memcpy(at, jump, JUMP_SIZE);
    return __atomic_compare_exchange_n((uint64_t *)start, &old, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static int is_in_one_block(uint64_t address)
{
    return address % FETCH_BLOCK + JUMP_SIZE <= FETCH_BLOCK;
}

static int is_alone(const struct compartment *compartment)
{
    return __atomic_load_n(&compartment->threads_alive, __ATOMIC_ACQUIRE) == 1;
}

static int choose(const struct compartment *compartment, const struct patch_text *text, uint64_t site,
                  const struct registers *frame, enum patch_kind kind, struct patch_window *window)
{
    int alone = is_alone(compartment);
    /* It needs no decoding from many starting points, and EAX is no evidence for what precedes a CPUID */
    if (kind == PATCH_CPUID && alone && patch_window_after(text, window))
        return 1;
    if (patch_window_before(text, frame->rax, window) &&
        (alone || (window->single && is_in_one_block(site - window->size))))
        return 1;
    return alone && patch_window_after(text, window);
}

/* Copy the text around the site, as far as its mapping reaches. */
static int read_text(struct compartment *compartment, uint64_t site, struct patch_text *text)
{
    struct vma vma;
    if (memory_find(compartment, site, &vma))
        return 0;
    uint64_t start = site - vma.start < NEIGHBOURHOOD ? vma.start : site - NEIGHBOURHOOD;
    uint64_t end = vma.end - site < NEIGHBOURHOOD ? vma.end : site + NEIGHBOURHOOD;
    text->size = (uint32_t)(end - start);
    text->syscall = (uint32_t)(site - start);
    return memory_is_program_text(compartment, start, end - start) &&
           !copy_from_program(text->bytes, (const void *)start, text->size);
}

static int write_site(struct compartment *compartment, const struct patch_text *text, const struct patch_window *window,
                      const struct trampoline *trampoline)
{
    uint64_t address = trampoline->window;
    uint8_t jump[JUMP_SIZE];
    int done = 0;
    if (!put_jump(jump, address, (uint64_t)trampoline->code) ||
        memory_text_writable(compartment, address, window->size, 1))
        return 0;
    if (is_in_one_block(address)) {
        done = store_jump(address, jump, text->bytes + window->start);
    } else if (is_alone(compartment)) {
        spin_begin_change(&compartment->patch_lock);
        done = !copy_to_program((void *)address, jump, sizeof(jump));
        spin_end_change(&compartment->patch_lock);
    }
    memory_text_writable(compartment, address, window->size, 0);
    return done;
}

static int patch(struct compartment *compartment, struct registers *frame, enum patch_kind kind)
{
    uint64_t site = frame->rip - SITE_SIZE;
    struct patch_text text;
    struct patch_window window;
    if (!read_text(compartment, site, &text) || !choose(compartment, &text, site, frame, kind, &window))
        return 0;
    if (!compartment->trampoline_next)
        compartment->trampoline_next = trampolines_start(compartment);
    struct trampoline *trampoline = (struct trampoline *)compartment->trampoline_next;
    if (!in_trampolines(compartment, (uint64_t)trampoline) || !build(trampoline, &text, &window, site, kind))
        return 0;
    compartment->trampoline_next += sizeof(*trampoline); /* before the site leads there: we may be killed in between */
    if (!write_site(compartment, &text, &window, trampoline)) {
        compartment->trampoline_next -= sizeof(*trampoline);
        return 0;
    }
    if (!window.before) { /* where this call returns to is the middle of the window now */
        frame->rip = (uint64_t)trampoline->code + ENTRY_CALL_SIZE;
        if (kind == PATCH_SYSCALL)
            frame->rcx = frame->rip;
    }
    return 1;
}

/*
 * sigreturn's pattern of bytes is how unwinders recognise a signal frame. The calls that make processes return
 * twice, and a window after the call would lie in the path of the second.
 */
static int is_left_alone(uint64_t number)
{
    return number == NR_RT_SIGRETURN || number == NR_CLONE || number == NR_FORK || number == NR_VFORK ||
           number == NR_CLONE3;
}

/*
 * Patching costs as much as some three traps, and a program's start passes many sites once or twice. So a site is left
 * to trap a few times first. One that shares its counter with another is not made to wait.
 */
static int is_hot(struct compartment *compartment, uint64_t site, enum patch_kind kind)
{
    uint64_t *counter = &compartment->trapped_sites[(site >> 1) % PATCH_CACHE_SIZE];
    uint64_t seen = __atomic_load_n(counter, __ATOMIC_RELAXED);
    if (!seen)
        seen = site << TRAP_COUNT_BITS;
    if (seen >> TRAP_COUNT_BITS != site || (seen & TRAP_COUNT_MASK) >= patch_after[kind])
        return 1;
    __atomic_store_n(counter, seen + 1, __ATOMIC_RELAXED);
    return 0;
}

void patch_site(struct thread *self, struct registers *frame, enum patch_kind kind)
{
    struct compartment *compartment = self->compartment;
    uint64_t site = frame->rip - SITE_SIZE;
    uint64_t *remembered = &compartment->unpatchable[(site >> 1) % PATCH_CACHE_SIZE];
    if ((kind == PATCH_SYSCALL && is_left_alone(frame->rax)) || __atomic_load_n(remembered, __ATOMIC_RELAXED) == site ||
        !is_hot(compartment, site, kind))
        return;
    if (!spin_trylock(&compartment->patch_lock))
        return; /* another thread is at it: this site's turn comes with its next trap */
    if (!patch(compartment, frame, kind))
        __atomic_store_n(remembered, site, __ATOMIC_RELAXED);
    spin_unlock(&compartment->patch_lock);
}

uint64_t patch_restart_address(const struct compartment *compartment, uint64_t return_address)
{
    return return_address - (in_trampolines(compartment, return_address) ? ENTRY_CALL_SIZE : SITE_SIZE);
}

uint64_t patch_forward_address(const struct compartment *compartment, uint64_t address)
{
    uint8_t bytes[WINDOW_SIZE_MAX + JUMP_SIZE];
    if (copy_from_program(bytes, (const void *)(address - WINDOW_SIZE_MAX), sizeof(bytes)))
        return address;
    for (uint32_t back = 1; back < WINDOW_SIZE_MAX; back++) {
        const uint8_t *at = bytes + WINDOW_SIZE_MAX - back;
        int32_t relative;
        memcpy(&relative, at + 1, sizeof(relative));
        uint64_t code = address - back + JUMP_SIZE + (uint64_t)(int64_t)relative;
        const struct trampoline *trampoline = (const struct trampoline *)(code - offsetof(struct trampoline, code));
        if (at[0] != OPCODE_JUMP || !in_trampolines(compartment, (uint64_t)trampoline) ||
            code % TRAMPOLINE_STRIDE != offsetof(struct trampoline, code) || trampoline->window != address - back)
            continue;
        if (back < trampoline->window_size)
            return code + trampoline->carried + back - trampoline->first;
    }
    return address;
}
