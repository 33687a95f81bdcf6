// SPDX-License-Identifier: Apache-2.0
/* System V semaphores and messages. Both live in the host's kernel, as a socket's data does. */
#include <asm/sembuf.h>
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/ipc.h>
#include <linux/msg.h>
#include <linux/sem.h>

#include "passthrough.h"
#include "restart.h"

#define SEMAPHORES_MAX 0x8000 /* SEMMSL's upper limit */

/* semctl and msgctl whose argument is a struct that comes, goes, or neither. */
static long control(struct syscall *call, int index, uint8_t kind, uint16_t size)
{
    struct signature signature = {.result = RETURNS_VALUE};

    for (int i = 0; i < index; i++)
        signature.arguments[i] = (struct argument){.kind = ARGUMENT_VALUE};
    signature.arguments[index] = (struct argument){.kind = kind, .size = size};
    return passthrough(call, &signature);
}

/* How many semaphores the set has, since GETALL and SETALL do not say. */
static long count_semaphores(const struct syscall *call)
{
    struct semid64_ds *status = (struct semid64_ds *)host_buffer();
    long error = host_syscall(__NR_semctl, call->args[0], 0, IPC_STAT, (uint64_t)status, 0, 0);

    if (error)
        return error < 0 ? error : -EIO;
    uint64_t count = *(volatile __kernel_ulong_t *)&status->sem_nsems;
    return count <= SEMAPHORES_MAX ? (long)count : -EIO;
}

static long all_values(struct syscall *call, int setting)
{
    long count = count_semaphores(call);

    if (count < 0)
        return count;
    uint64_t size = count * sizeof(unsigned short);
    char *values = host_buffer();
    if (setting && copy_from_program(values, (const void *)call->args[3], size))
        return -EFAULT;
    long result = host_syscall(__NR_semctl, call->args[0], call->args[1], call->args[2], (uint64_t)values, 0, 0);
    if (result)
        return result < 0 ? result : -EIO;
    return !setting && copy_to_program((void *)call->args[3], values, size) ? -EFAULT : 0;
}

long sys_semctl(struct syscall *call)
{
    switch ((int)call->args[2]) {
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        return control(call, 3, ARGUMENT_OUT, sizeof(struct semid64_ds));
    case IPC_SET:
        return control(call, 3, ARGUMENT_IN, sizeof(struct semid64_ds));
    case IPC_INFO:
    case SEM_INFO:
        return control(call, 3, ARGUMENT_OUT, sizeof(struct seminfo));
    case GETALL:
        return all_values(call, 0);
    case SETALL:
        return all_values(call, 1);
    case IPC_RMID:
    case SETVAL:
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
        return control(call, 3, ARGUMENT_VALUE, 0);
    default:
        return -EINVAL;
    }
}

long sys_msgctl(struct syscall *call)
{
    switch ((int)call->args[1]) {
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
        return control(call, 2, ARGUMENT_OUT, sizeof(struct msqid64_ds));
    case IPC_SET:
        return control(call, 2, ARGUMENT_IN, sizeof(struct msqid64_ds));
    case IPC_INFO:
    case MSG_INFO:
        return control(call, 2, ARGUMENT_OUT, sizeof(struct msginfo));
    case IPC_RMID:
        return control(call, 2, ARGUMENT_NOTHING, 0);
    default:
        return -EINVAL;
    }
}

/* A message is its type, a long, and then the text whose size the calls name. */
#define TEXT_OFFSET sizeof(long)
#define TEXT_SIZE_MAX (HOST_BUFFER_SIZE - TEXT_OFFSET)

long sys_msgsnd(struct syscall *call)
{
    char *message = host_buffer();
    uint64_t size = call->args[2];

    if (size > TEXT_SIZE_MAX)
        return -EINVAL;
    if (copy_from_program(message, (const void *)call->args[1], TEXT_OFFSET + size))
        return -EFAULT;
    long result = host_syscall_interruptible(__NR_msgsnd, call->args[0], (uint64_t)message, size, call->args[3], 0, 0);
    return result > 0 ? -EIO : restartable_uncaught(result);
}

long sys_msgrcv(struct syscall *call)
{
    char *message = host_buffer();
    uint64_t size = call->args[2];

    if ((int64_t)size < 0)
        return -EINVAL;
    if (size > TEXT_SIZE_MAX)
        size = TEXT_SIZE_MAX;
    long result = host_syscall_interruptible(__NR_msgrcv, call->args[0], (uint64_t)message, size, call->args[3],
                                             call->args[4], 0);
    if (result < 0)
        return restartable_uncaught(result);
    if ((uint64_t)result > size)
        return -EIO;
    return copy_to_program((void *)call->args[1], message, TEXT_OFFSET + result) ? -EFAULT : result;
}
