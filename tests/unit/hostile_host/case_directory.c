/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/statfs.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/magic.h>
#include <string.h>

#include "cases.h"
#include "fake.h"

#define N(pointer) ((uint64_t)(pointer))
#define CAPACITY 512

struct entry {
    uint64_t inode, offset;
    uint16_t size;
    uint8_t type;
    char name[13];
} __attribute__((packed));
_Static_assert(sizeof(struct entry) == 32, "directory entry");

static struct entry listed[4];
static unsigned listed_count, listed_rounds;
static long listed_claim;
static long is_proc;

static long list(uint32_t number, const uint64_t args[6])
{
    if (number == __NR_fstatfs) {
        ((struct statfs *)args[1])->f_type = is_proc ? PROC_SUPER_MAGIC : 0;
        return 0;
    }
    if (listed_rounds++)
        return 0;
    memcpy((void *)args[1], listed, sizeof(listed));
    return listed_claim ? listed_claim : (long)(listed_count * sizeof(struct entry));
}

static void set_entry(unsigned index, const char *name)
{
    memset(&listed[index], 0, sizeof(listed[index]));
    listed[index].size = sizeof(struct entry);
    strcpy(listed[index].name, name);
    listed_count = index + 1;
    listed_rounds = 0;
}

static long list_to(void *to)
{
    listed_rounds = 0;
    fake_host = list;
    return CALL(getdents64, 3, N(to), CAPACITY);
}

static void honest_listing(void)
{
    char *to = fake_program_buffer(CAPACITY);

    set_entry(0, ".");
    set_entry(1, "1005");
    fake_scribbles = 0;
    EXPECT(list_to(to) == 2 * sizeof(struct entry));
    EXPECT(!memcmp(to, listed, 2 * sizeof(struct entry)));
}

static void the_mates_descriptors_are_not_listed(void)
{
    char *to = fake_program_buffer(CAPACITY);

    is_proc = 1;
    set_entry(0, "1005");
    set_entry(1, "3");
    EXPECT(list_to(to) == sizeof(struct entry));
    EXPECT(!strcmp(((struct entry *)to)->name, "3"));
}

static void sizes_that_lead_astray(void)
{
    const uint16_t lies[] = {0, 1, 8, 16, 23, 31, 33, 64, 512, 0xfff8, 0xffff};
    char *to = fake_program_buffer(CAPACITY);

    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        set_entry(0, "name");
        listed[0].size = lies[i];
        EXPECT(list_to(to) == -EIO);
    }
    EXPECT(fake_untouched(to, CAPACITY));
}

static void names_that_cannot_be(void)
{
    char *to = fake_program_buffer(CAPACITY);

    set_entry(0, "");
    EXPECT(list_to(to) == -EIO);
    set_entry(0, "../x");
    EXPECT(list_to(to) == -EIO);
    set_entry(0, "x");
    memset(listed[0].name, 'x', sizeof(listed[0].name)); /* no end */
    EXPECT(list_to(to) == -EIO);
    EXPECT(fake_untouched(to, CAPACITY));
}

static void more_than_fits(void)
{
    char *to = fake_program_buffer(CAPACITY);
    const long lies[] = {CAPACITY + 1, 1L << 40, 7};

    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        set_entry(0, "name");
        listed_claim = lies[i];
        EXPECT(list_to(to) == -EIO);
    }
    EXPECT(fake_untouched(to, CAPACITY));
}

/* proc_content.c: written in pieces that the host accepts in part, or says it did */
static long content_answer;

static long take_content(uint32_t number, const uint64_t args[6])
{
    switch (number) {
    case __NR_memfd_create:
        return 5;
    case __NR_write:
        return content_answer ? content_answer : (long)args[2];
    default:
        return 0;
    }
}

static void views_of_a_lying_host(void)
{
    uint64_t start[] = {1, N("program"), 0, N("HOME=/root"), 0, 6, 4096, 0, 0};

    fake_compartment.start_arguments = N(start);
    fake_host = take_content;
    EXPECT(CALL(openat, 0, N("/proc/self/cmdline"), 0) == 5);
    EXPECT(CALL(openat, 0, N("/proc/self/auxv"), 0) == 5);
    content_answer = 1L << 40;
    EXPECT(CALL(openat, 0, N("/proc/self/environ"), 0) == -EIO);
    content_answer = -EIO;
    EXPECT(CALL(openat, 0, N("/proc/thread-self/cmdline"), 0) == -EIO);
    EXPECT(CALL(openat, 0, N("/proc/self/cmdline"), 1) == -EACCES);
}

const struct fake_case directory_cases[] = {
    {"honest_listing", honest_listing},
    {"the_mates_descriptors_are_not_listed", the_mates_descriptors_are_not_listed},
    {"sizes_that_lead_astray", sizes_that_lead_astray},
    {"names_that_cannot_be", names_that_cannot_be},
    {"more_than_fits", more_than_fits},
    {"views_of_a_lying_host", views_of_a_lying_host},
    {0, 0},
};
