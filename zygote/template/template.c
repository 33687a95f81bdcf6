// SPDX-License-Identifier: Apache-2.0
#include "template.h"

#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/mman.h>
#include <stdbool.h>
#include <stddef.h>

#define PAGE_SIZE 4096ul
#define PAGE_WORDS (PAGE_SIZE / sizeof(uint64_t))
#define PROT_READ_WRITE (0x1 | 0x2)
/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_OF_FILE (1ull << 61)
#define PAGEMAP_MAPPED_ONCE (1ull << 56)
#define PAGEMAP_CHUNK 512

typedef bool visit_page(void *context, uintptr_t page, uint64_t offset, uint64_t pagemap_entry);

static int64_t system_call(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f)
{
    register int64_t r10 __asm__("r10") = d;
    register int64_t r8 __asm__("r8") = e;
    register int64_t r9 __asm__("r9") = f;
    int64_t result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* 0 if all of it has been read or written. */
static int64_t transfer(int64_t number, int32_t file, const void *buffer, uint64_t size, uint64_t offset)
{
    uint64_t done = 0;

    while (done < size) {
        int64_t moved = system_call(number, file, (int64_t)buffer + done, size - done, offset + done, 0, 0);

        if (moved == -EINTR)
            continue;
        if (moved <= 0)
            return moved ? moved : -EIO;
        done += moved;
    }
    return 0;
}

/* Call `visit` for the pages of a region that are in memory; with `own`, only for those that are not the file's. */
static int64_t visit_region(const struct memory_template *template, const struct template_region *region, bool own,
                            visit_page *visit, void *context)
{
    uint64_t entries[PAGEMAP_CHUNK];

    for (uint64_t at = 0; at < region->size;) {
        uint64_t first = (region->start + at) / PAGE_SIZE;
        uint64_t count = (region->size - at) / PAGE_SIZE;
        int64_t error;

        if (count > PAGEMAP_CHUNK)
            count = PAGEMAP_CHUNK;
        error = transfer(__NR_pread64, template->pagemap, entries, count * sizeof(*entries), first * sizeof(*entries));
        if (error)
            return error;
        for (uint64_t i = 0; i < count; i++, at += PAGE_SIZE) {
            if (!(entries[i] & PAGEMAP_PRESENT) || (own && (entries[i] & PAGEMAP_OF_FILE)))
                continue;
            if (!visit(context, region->start + at, region->offset + at, entries[i]))
                return -EIO;
        }
    }
    return 0;
}

static bool write_page(void *context, uintptr_t page, uint64_t offset, uint64_t)
{
    const struct memory_template *template = context;

    return !transfer(__NR_pwrite64, template->file, (const void *)page, PAGE_SIZE, offset);
}

int64_t template_install(const struct memory_template *template)
{
    for (uint64_t i = 0; i < template->region_count; i++) {
        /* The array itself is in one of the regions. */
        const struct template_region region = template->regions[i];
        int64_t error = visit_region(template, &region, false, write_page, (void *)template);
        int64_t mapped;

        if (error)
            return error;
        mapped = system_call(__NR_mmap, region.start, region.size, PROT_READ_WRITE, MAP_PRIVATE | MAP_FIXED,
                             template->file, region.offset);
        if (mapped < 0)
            return mapped;
        /* So that children inherit the mapping of each page. Kernels before 5.14 know no such advice: they fault. */
        system_call(__NR_madvise, region.start, region.size, MADV_POPULATE_READ, 0, 0, 0);
    }
    return 0;
}

static bool is_same(const uint64_t *a, const uint64_t *b)
{
    for (size_t i = 0; i < PAGE_WORDS; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static void copy_page(uint64_t *to, const uint64_t *from)
{
    for (size_t i = 0; i < PAGE_WORDS; i++)
        ((volatile uint64_t *)to)[i] = from[i];
}

struct giving {
    const struct memory_template *template;
    uint64_t stayed;
};

static bool give_page_back(void *context, uintptr_t page, uint64_t offset, uint64_t)
{
    struct giving *giving = context;
    uint64_t original[PAGE_WORDS];

    if (transfer(__NR_pread64, giving->template->file, original, PAGE_SIZE, offset))
        return false;
    if (!is_same((const uint64_t *)page, original)) {
        giving->stayed++;
        return true;
    }
    if (system_call(__NR_madvise, page, PAGE_SIZE, MADV_DONTNEED, 0, 0, 0))
        return false;
    /* The allocator may have unmapped the file here and mapped plain memory, which is lost and must be put back. */
    if (!is_same((const uint64_t *)page, original))
        copy_page((uint64_t *)page, original);
    return true;
}

struct clean_run {
    uintptr_t start;
    uintptr_t end;
};

/* Failures do not matter: what is not unmapped stays mapped. */
static void unmap_run(const struct clean_run *run)
{
    if (run->end > run->start)
        system_call(__NR_madvise, run->start, run->end - run->start, MADV_DONTNEED, 0, 0, 0);
}

static bool unmap_clean_page(void *context, uintptr_t page, uint64_t, uint64_t pagemap_entry)
{
    struct clean_run *run = context;

    if (!(pagemap_entry & PAGEMAP_OF_FILE))
        return true;
    if (run->end != page) {
        unmap_run(run);
        run->start = page;
    }
    run->end = page + PAGE_SIZE;
    return true;
}

int64_t template_give_back(const struct memory_template *template)
{
    struct giving giving = {.template = template, .stayed = 0};

    for (uint64_t i = 0; i < template->region_count; i++) {
        struct clean_run run = {0, 0};
        int64_t error = visit_region(template, &template->regions[i], true, give_page_back, &giving);

        if (!error)
            error = visit_region(template, &template->regions[i], false, unmap_clean_page, &run);
        if (error)
            return error;
        unmap_run(&run);
    }
    return giving.stayed;
}

struct learning {
    const struct memory_template *template;
    struct template_lesson *lesson;
};

static bool note_page(void *context, uintptr_t page, uint64_t offset, uint64_t pagemap_entry)
{
    struct learning *learning = context;
    struct template_lesson *lesson = learning->lesson;
    uint64_t original[PAGE_WORDS];
    uint64_t flags = 0;

    if (transfer(__NR_pread64, learning->template->file, original, PAGE_SIZE, offset))
        return false;
    if (!is_same((const uint64_t *)page, original))
        flags |= TEMPLATE_PAGE_CHANGED;
    if (pagemap_entry & PAGEMAP_MAPPED_ONCE)
        flags |= TEMPLATE_PAGE_WRITTEN;
    if (!flags)
        return true;
    if (lesson->page_count == lesson->page_max)
        return false;
    lesson->pages[lesson->page_count++] = (struct template_page){.address = page, .offset = offset, .flags = flags};
    return true;
}

int64_t template_teach(const struct memory_template *template, struct template_lesson *lesson)
{
    struct learning learning = {.template = template, .lesson = lesson};
    char note = 0;

    for (uint64_t i = 0; i < template->region_count; i++) {
        int64_t error = visit_region(template, &template->regions[i], true, note_page, &learning);

        if (error)
            return error;
    }
    if (system_call(__NR_write, lesson->channel, (int64_t)&note, 1, 0, 0, 0) != 1)
        return -EPIPE;
    if (system_call(__NR_read, lesson->channel, (int64_t)&note, 1, 0, 0, 0) != 1)
        return -EPIPE;
    for (uint64_t i = 0; i < lesson->page_count; i++) {
        const struct template_page *page = &lesson->pages[i];

        if ((page->flags & TEMPLATE_PAGE_CHANGED) && !write_page((void *)template, page->address, page->offset, 0))
            return -EIO;
    }
    return 0;
}

int64_t template_keep(const struct memory_template *template, const struct template_lesson *lesson)
{
    for (uint64_t i = 0; i < lesson->page_count; i++) {
        const struct template_page *page = &lesson->pages[i];
        uint64_t entry;
        int64_t error;

        if (!(page->flags & TEMPLATE_PAGE_CHANGED))
            continue;
        error =
            transfer(__NR_pread64, template->pagemap, &entry, sizeof(entry), page->address / PAGE_SIZE * sizeof(entry));
        if (error)
            return error;
        if ((entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) && !(entry & PAGEMAP_OF_FILE))
            continue;
        /* The same content once more. EFAULT: the model has mapped something where we have nothing. */
        error = transfer(__NR_pread64, template->file, (const void *)page->address, PAGE_SIZE, page->offset);
        if (error && error != -EFAULT)
            return error;
    }
    return 0;
}
