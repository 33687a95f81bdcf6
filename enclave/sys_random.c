// SPDX-License-Identifier: Apache-2.0
/* Random bytes come from the CPU. What the host would give is known to the host. */
#include <linux/errno.h>
#include <linux/random.h>

#include "random.h"
#include "string.h"
#include "syscall.h"

/* Intel: ten tries in a row fail only when the generator is broken */
#define RDRAND_TRIES 10
/* RDSEED runs dry under load, and then only time helps */
#define RDSEED_TRIES 1000
#define GETRANDOM_BATCH 256

static int rdrand(uint64_t *value)
{
    for (int i = 0; i < RDRAND_TRIES; i++) {
        unsigned char ok;
        __asm__ volatile("rdrand %0; setc %1" : "=r"(*value), "=qm"(ok) : : "cc");
        if (ok)
            return 0;
    }
    return -1;
}

static int rdseed(uint64_t *value)
{
    for (int i = 0; i < RDSEED_TRIES; i++) {
        unsigned char ok;
        __asm__ volatile("rdseed %0; setc %1" : "=r"(*value), "=qm"(ok) : : "cc");
        if (ok)
            return 0;
        __builtin_ia32_pause();
    }
    return -1;
}

static long fill(void *to, size_t size, int (*generator)(uint64_t *))
{
    char *bytes = to;

    while (size) {
        uint64_t value;
        size_t part = size < sizeof(value) ? size : sizeof(value);
        if (generator(&value))
            return -EIO;
        memcpy(bytes, &value, part);
        bytes += part;
        size -= part;
    }
    return 0;
}

long random_bytes(void *to, size_t size)
{
    return fill(to, size, rdrand);
}

long sys_getrandom(struct syscall *call)
{
    uint64_t to = call->args[0], size = call->args[1], done = 0;
    uint32_t flags = call->args[2];
    char batch[GETRANDOM_BATCH];

    if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    while (done < size) {
        uint64_t part = size - done < sizeof(batch) ? size - done : sizeof(batch);
        if (fill(batch, part, flags & GRND_RANDOM ? rdseed : rdrand))
            return done ? (long)done : -EAGAIN;
        if (copy_to_program((void *)(to + done), batch, part))
            return done ? (long)done : -EFAULT;
        done += part;
    }
    return done;
}
