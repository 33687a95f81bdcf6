/* SPDX-License-Identifier: Apache-2.0 */
/* System V semaphores and messages, POSIX message queues, and what becomes of children: call by call. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) show(#call, (long)(call))

static void show(const char *what, long result)
{
    printf("%s = %ld", what, result);
    printf(result < 0 ? " errno %d\n" : "\n", errno);
}

union semun {
    int value;
    struct semid_ds *status;
    unsigned short *values;
};

static void semaphores(void)
{
    unsigned short values[3] = {7, 8, 9};
    struct semid_ds status;
    int id = semget(IPC_PRIVATE, 3, 0600);

    SHOW(semctl(id, 0, SETALL, (union semun){.values = values}));
    memset(values, 0, sizeof(values));
    SHOW(semctl(id, 0, GETALL, (union semun){.values = values}));
    printf("%d %d %d\n", values[0], values[1], values[2]);
    SHOW(semop(id, (struct sembuf[]){{0, -2, 0}, {2, 1, 0}}, 2));
    SHOW(semctl(id, 0, GETVAL));
    SHOW(semctl(id, 2, GETVAL));
    SHOW(semctl(id, 1, SETVAL, (union semun){.value = 0}));
    SHOW(semop(id, (struct sembuf[]){{1, -1, IPC_NOWAIT}}, 1));
    SHOW(semtimedop(id, (struct sembuf[]){{1, -1, 0}}, 1, &(struct timespec){0, 1000000}));
    SHOW(semctl(id, 0, IPC_STAT, (union semun){.status = &status}));
    printf("%lu semaphores, mode %o\n", (unsigned long)status.sem_nsems, status.sem_perm.mode);
    SHOW(semctl(id, 0, 9999));
    SHOW(semctl(id, 0, IPC_RMID));
    SHOW(semctl(id, 0, GETALL, (union semun){.values = values}));
}

static void messages(void)
{
    struct {
        long type;
        char text[20];
    } message = {5, "a message"};
    struct msqid_ds status;
    int id = msgget(IPC_PRIVATE, 0600);

    SHOW(msgsnd(id, &message, 10, 0));
    SHOW(msgsnd(id, &message, 20, 0));
    memset(&message, 0, sizeof(message));
    SHOW(msgctl(id, IPC_STAT, &status));
    printf("%lu messages\n", (unsigned long)status.msg_qnum);
    SHOW(msgrcv(id, &message, 5, 0, 0));
    SHOW(msgrcv(id, &message, sizeof(message.text), 5, 0));
    printf("%ld %s\n", message.type, message.text);
    SHOW(msgrcv(id, &message, 5, 0, MSG_NOERROR));
    SHOW(msgrcv(id, &message, 5, 0, IPC_NOWAIT));
    SHOW(msgctl(id, IPC_RMID, 0));
    SHOW(msgsnd(id, &message, 1, 0));
}

static void queues(void)
{
    struct mq_attr attributes = {.mq_maxmsg = 3, .mq_msgsize = 16};
    char text[16];
    unsigned priority = 0;

    mq_unlink("/teemate-test");
    mqd_t queue = mq_open("/teemate-test", O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attributes);
    SHOW(queue >= 0);
    SHOW(mq_send(queue, "one", 4, 3));
    SHOW(mq_send(queue, text, 17, 3));
    SHOW(mq_receive(queue, text, 15, 0));
    SHOW(mq_receive(queue, text, 16, &priority));
    printf("%s %u\n", text, priority);
    SHOW(mq_receive(queue, text, 16, 0));
    SHOW(mq_getattr(queue, &attributes));
    printf("%ld %ld\n", attributes.mq_maxmsg, attributes.mq_flags & O_NONBLOCK);
    SHOW(mq_close(queue));
    SHOW(mq_unlink("/teemate-test"));
}

static void children(void)
{
    int status = 0x1234;
    siginfo_t info = {.si_pid = 99};

    SHOW(waitpid(-1, &status, 0));
    SHOW(waitpid(-1, &status, WNOHANG));
    printf("status %x\n", status);
    SHOW(waitid(P_ALL, 0, &info, WEXITED));
}

int main(void)
{
    setvbuf(stdout, 0, _IONBF, 0);
    semaphores();
    messages();
    queues();
    children();
    return 0;
}
