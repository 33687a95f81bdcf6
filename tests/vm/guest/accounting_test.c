// SPDX-License-Identifier: Apache-2.0
/* Who pays for pages, and what limits them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "container.h"
#include "enclave.h"
#include "tests.h"

#define CGROUP "/sys/fs/cgroup/container"
#define LIMIT "/sys/module/teemate/parameters/epc_pages"

static const struct range_spec large[] = {{GROW_FIRST, 2048, TEEMATE_RANGE_PRIVATE | TEEMATE_RANGE_GROW, RW}, {0}};

static void test_container_pays(int enclave)
{
    struct container container = container_start(lease(enclave, large, NULL, NULL), CGROUP);
    struct teemate_event event;
    long before, after;

    check(!container_map(&container, GROW_FIRST, 2048, RW), "map");
    before = read_number(CGROUP "/memory.current");
    check(container_touch(&container, GROW_FIRST, 512) == 512, "touch 2 MiB");
    after = read_number(CGROUP "/memory.current");
    check(after - before >= 512 * 4096L, "the container's cgroup pays (%ld KiB)", (after - before) / 1024);
    container_kill(&container);
    check(!next_event(enclave, &event, 5000) && event.count == 512, "erased at the end");
    check(read_number(CGROUP "/memory.current") < before + 1024 * 1024, "and paid back");
}

static void test_memory_max(int enclave)
{
    struct container container = container_start(lease(enclave, large, NULL, NULL), CGROUP);
    struct teemate_event event;
    int status = 0;

    write_text(CGROUP "/memory.max", "4M");
    check(!container_map(&container, GROW_FIRST, 2048, RW), "map 8 MiB with memory.max of 4 MiB");
    container_touch(&container, GROW_FIRST, 2048);
    check(waitpid(container.process, &status, 0) == container.process && WIFSIGNALED(status) &&
              WTERMSIG(status) == SIGKILL,
          "touching them all is the end of the container");
    check(!next_event(enclave, &event, 5000) && event.count > 512, "its %llu pages come back",
          (unsigned long long)event.count);
    close(container.socket);
    write_text(CGROUP "/memory.max", "max");
}

static void test_limits(void)
{
    struct teemate_setup setup = {.page_limit = 100};
    struct container container;
    int enclave = enclave_build(&setup), touched;
    struct teemate_info info = enclave_info(enclave);
    char limit[32];

    check(info.page_limit == 100 && info.pages < 100, "an enclave with a limit of pages (%llu in use)",
          (unsigned long long)info.pages);
    container = container_start(lease(enclave, large, NULL, NULL), NULL);
    container_map(&container, GROW_FIRST, 2048, RW);
    touched = container_touch(&container, GROW_FIRST, 2048);
    check(touched == (int)(100 - info.pages) && enclave_info(enclave).pages == 100, "grows up to it, not beyond (%d)",
          touched);
    container_kill(&container);
    close(enclave);

    enclave = enclave_build(NULL);
    snprintf(limit, sizeof(limit), "%llu", (unsigned long long)enclave_info(enclave).epc_pages + 10);
    write_text(LIMIT, limit);
    container = container_start(lease(enclave, large, NULL, NULL), NULL);
    container_map(&container, GROW_FIRST, 2048, RW);
    check(container_touch(&container, GROW_FIRST, 2048) == 10, "the EPC as a whole has a limit, too");
    check(enclave_build(NULL) == -ENOMEM, "and nothing can be built beyond it");
    container_kill(&container);
    write_text(LIMIT, "65536");
    close(enclave);
}

int accounting_test(void)
{
    int enclave = enclave_build(NULL);

    check(!mkdir(CGROUP, 0755), "a cgroup");
    test_container_pays(enclave);
    test_memory_max(enclave);
    close(enclave);
    test_limits();
    return check_failures != 0;
}
