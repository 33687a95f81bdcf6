/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that holds one lease, as a container would: it gets the descriptor over a socket and nothing
 * else, and does what it is told.
 */
#ifndef TEST_CONTAINER_H
#define TEST_CONTAINER_H
#include <stdint.h>
#include <sys/types.h>

struct container {
    pid_t process;
    int socket;
    uint64_t value; /* that the last container_peek read */
};

/* Takes the descriptor over. cgroup: directory to live in, or NULL */
struct container container_start(int lease_fd, const char *cgroup);
/* Each returns 0, a signal number, or errno as the operation has it */
int container_peek(struct container *container, uint64_t page);
int container_poke(struct container *container, uint64_t page, uint64_t value);
int container_map(struct container *container, uint64_t page, uint64_t count, int prot);
int container_unmap(struct container *container, uint64_t page, uint64_t count);
int container_close_lease(struct container *container);
/* Touch pages in a row: the number of the first that failed, counting from `page`, or count */
int container_touch(struct container *container, uint64_t page, uint64_t count);
int container_execute_self(struct container *container); /* execve: a new address space, the lease kept */
void container_kill(struct container *container);
/* What the program does when executed as "container FD" */
int container_main(int socket, int lease_fd);
#endif
