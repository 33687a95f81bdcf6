/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory template: a file with the content that a shim's writable memory has when the shim is at rest.
 *
 * Zygote and shims map it privately where the interpreter's memory was. A shim that works copies the pages it writes
 * to, if only to count references up and down again. When it rests it drops the copies whose content is the
 * template's: the page is then the file's, which all shims share.
 *
 *   zygote                                 model: a shim forked by it, with a container of no consequence
 *     template_install
 *     fork                           ->      starts its container, and rests
 *                                    <-      template_teach: these pages have another content by now
 *     template_keep                          (waits)
 *     "go on"                        ->      writes its pages to the file
 *     seals the file                         ends
 *   fork                             ->    shim: works, rests: template_give_back
 *
 * zygote/memory.py mirrors this header. Nothing here allocates, calls the C library or has variables of its own: all of
 * those are part of the memory that is being exchanged.
 */
#ifndef TEEMATE_ZYGOTE_TEMPLATE_H
#define TEEMATE_ZYGOTE_TEMPLATE_H

#include <stdint.h>

struct template_region {
    uint64_t start;
    uint64_t size;
    uint64_t offset; /* in the file */
};

struct memory_template {
    int32_t file;
    int32_t pagemap; /* /proc/self/pagemap of the calling process */
    uint64_t region_count;
    const struct template_region *regions;
};

#define TEMPLATE_PAGE_CHANGED 1 /* its content is not the file's any more */
#define TEMPLATE_PAGE_WRITTEN 2 /* the model has a copy of its own: it has written to it */

struct template_page {
    uint64_t address;
    uint64_t offset;
    uint64_t flags;
};

/* In memory that zygote and model share. */
struct template_lesson {
    int32_t channel; /* the model's end of a stream socket to the zygote */
    uint32_t reserved;
    uint64_t page_max;
    uint64_t page_count;
    struct template_page pages[];
};

/*
 * Write the regions to the file, and map the file over them.
 *
 * Context: a process with one thread.
 * Return: 0 or -errno; on failure some regions are mapped and others are as before, which makes no difference to the
 * process.
 */
int64_t template_install(const struct memory_template *template);

/*
 * Drop the caller's copies of pages that are as in the file, and its mappings of the file's pages: what it needs of
 * them it finds again.
 *
 * Context: a process with one thread.
 * Return: the number of pages that had to stay, or -errno.
 */
int64_t template_give_back(const struct memory_template *template);

/*
 * Note which pages the caller has written to and which differ from the file's, say so with a byte on the channel, wait
 * for one, and write those that differ to the file. The caller cannot use its memory for anything else then, and is to
 * end.
 *
 * Return: 0 or -errno.
 */
int64_t template_teach(const struct memory_template *template, struct template_lesson *lesson);

/*
 * Make copies of our own of the lesson's changed pages, since their content in the file is about to change.
 *
 * Return: 0 or -errno.
 */
int64_t template_keep(const struct memory_template *template, const struct template_lesson *lesson);

#endif
