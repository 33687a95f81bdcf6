/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <asm/prctl.h>
#include <linux/errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

fake_answer fake_host;
int fake_scribbles;
struct compartment fake_compartment = {
    .process_id = 77,
    .hidden_fd_first = FAKE_HIDDEN_FIRST,
    .hidden_fd_last = FAKE_HIDDEN_LAST,
    .program_path = "/usr/bin/program",
};
static struct thread thread = {.self = &thread};

/* Locks note their holder, whom GS names. */
static void __attribute__((constructor)) become_thread(void)
{
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, &thread))
        abort();
}

static char *buffer;

char *host_buffer(void)
{
    if (!buffer)
        buffer = malloc(HOST_BUFFER_SIZE);
    return buffer;
}

static long answer(uint32_t number, const uint64_t args[6])
{
    long result = fake_host(number, args);

    return result < -4095 ? -EIO : result; /* as host.c promises */
}

long host_syscall(uint32_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    return answer(number, (uint64_t[]){a0, a1, a2, a3, a4, a5});
}

long host_syscall_interruptible(uint32_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                                uint64_t a5)
{
    return answer(number, (uint64_t[]){a0, a1, a2, a3, a4, a5});
}

long host_clock(uint32_t clock, int64_t *sec, int64_t *nsec)
{
    (void)clock;
    *sec = *nsec = 0;
    return 0;
}

void host_log(uint32_t level, const char *format, ...)
{
    (void)level;
    (void)format;
}

static int in_host_buffer(const void *address)
{
    return (const char *)address >= buffer && (const char *)address < buffer + HOST_BUFFER_SIZE;
}

long copy_from_program(void *to, const void *from, size_t size)
{
    if (!size)
        return 0;
    if (!from)
        return -EFAULT;
    memcpy(to, from, size);
    return 0;
}

long copy_to_program(void *to, const void *from, size_t size)
{
    if (!size)
        return 0;
    if (!to)
        return -EFAULT;
    memcpy(to, from, size);
    if (fake_scribbles && in_host_buffer(from))
        memset(buffer, 0xff, HOST_BUFFER_SIZE);
    return 0;
}

long copy_string_from_program(char *to, const char *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!(to[i] = from[i]))
            return i;
    return -ENAMETOOLONG;
}

int signal_deliverable(const struct thread *self)
{
    (void)self;
    return 0;
}

void signal_collect(struct thread *self)
{
    (void)self;
}

int signal_dequeue(struct thread *self, uint64_t set, struct signal_info *info)
{
    (void)self, (void)set, (void)info;
    return 0;
}

void signal_set_temporary_mask(struct thread *self, uint64_t mask)
{
    self->saved_mask = self->signal_mask;
    self->has_saved_mask = 1;
    self->signal_mask = mask;
}

int signal_deliver(struct thread *self, struct registers *registers, long result)
{
    (void)self;
    (void)registers;
    (void)result;
    return 0;
}

long fake_call(syscall_handler handler, uint32_t number, struct fake_arguments arguments)
{
    struct registers registers = {0};
    struct syscall call = {
        .thread = &thread, .compartment = &fake_compartment, .registers = &registers, .number = number};

    if (!fake_compartment.base) /* epoll_table.c finds its table there */
        fake_compartment.base = (uint64_t)calloc(1, LIBOS_HEAP_SIZE) - LIBOS_HEAP_OFFSET;
    memcpy(call.args, arguments.a, sizeof(call.args));
    return handler(&call);
}

void *fake_program_buffer(uint64_t size)
{
    void *bytes = malloc(size);

    memset(bytes, FAKE_FILL, size);
    return bytes;
}

void fake_release(void *program_buffer)
{
    free(program_buffer);
}

int fake_untouched(const void *bytes, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        if (((const unsigned char *)bytes)[i] != FAKE_FILL)
            return 0;
    return 1;
}

void fake_expect(int holds, const char *condition, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    exit(1);
}
