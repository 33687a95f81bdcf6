/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting: poll, select, epoll and the descriptors made for it; what signals do to calls that wait. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call) show(#call, (long)(call))

static void show(const char *what, long result)
{
    printf("%s = %ld", what, result);
    printf(result < 0 ? " errno %d\n" : "\n", errno);
}

static struct pollfd *volatile wild = (struct pollfd *)8; /* that no compiler can see to be wrong */
static volatile int caught;
static void on_signal(int signal)
{
    caught += signal;
}

static void handle(int signal, int flags)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    sigaction(signal, &action, 0);
}

static void alarm_every(int milliseconds)
{
    struct timeval interval = {.tv_usec = milliseconds * 1000};
    setitimer(ITIMER_REAL, &(struct itimerval){.it_interval = interval, .it_value = interval}, 0);
}

/* The alarm goes off again and again: one that comes before the call has begun interrupts nothing. */
#define SHOW_WITH_ALARM(call)                                                                                          \
    do {                                                                                                               \
        alarm_every(20);                                                                                               \
        long result = (call);                                                                                          \
        alarm_every(0);                                                                                                \
        show(#call, result);                                                                                           \
    } while (0)

static void polling(void)
{
    int ends[2];
    struct pollfd entries[3] = {{.events = POLLIN}, {.events = POLLOUT}, {.fd = -1, .events = POLLIN}};
    struct timespec zero = {0, 0};
    fd_set in, out;

    pipe(ends);
    entries[0].fd = ends[0];
    entries[1].fd = ends[1];
    SHOW(poll(entries, 3, 0));
    printf("%x %x %x\n", entries[0].revents, entries[1].revents, entries[2].revents);
    write(ends[1], "x", 1);
    SHOW(ppoll(entries, 3, &zero, 0));
    printf("%x %x %x\n", entries[0].revents, entries[1].revents, entries[2].revents);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(ends[0], &in);
    FD_SET(ends[1], &out);
    struct timeval timeout = {1000, 0};
    SHOW(select(ends[1] + 1, &in, &out, 0, &timeout));
    printf("%d %d left %d\n", !!FD_ISSET(ends[0], &in), !!FD_ISSET(ends[1], &out),
           timeout.tv_sec > 500 && timeout.tv_sec < 1000);
    SHOW(pselect(0, 0, 0, 0, &zero, 0));
    SHOW(poll(wild, 1, 0));
    SHOW(poll(0, 0, 1));
    close(ends[1]);
    char byte;
    read(ends[0], &byte, 1);
    SHOW(poll(entries, 1, -1));
    printf("%x\n", entries[0].revents);
    close(ends[0]);
}

static void events(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x123456789abcdefUL}, events[8];
    struct itimerspec timer = {.it_value = {.tv_nsec = 1000000}};
    uint64_t number;

    int epoll = epoll_create1(EPOLL_CLOEXEC), counter = eventfd(3, EFD_NONBLOCK);
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &event));
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &event));
    SHOW(epoll_wait(epoll, events, 8, -1));
    printf("%x %lx\n", events[0].events, (unsigned long)events[0].data.u64);
    SHOW(read(counter, &number, sizeof(number)));
    printf("%lu\n", (unsigned long)number);
    SHOW(read(counter, &number, sizeof(number)));
    SHOW(epoll_wait(epoll, events, 8, 1));
    SHOW(epoll_wait(epoll, events, 0, 1));
    int timerfd = timerfd_create(CLOCK_MONOTONIC, 0);
    SHOW(timerfd_settime(timerfd, 0, &timer, 0));
    event.data.fd = timerfd;
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, timerfd, &event));
    SHOW(epoll_pwait(epoll, events, 8, -1, 0));
    SHOW(read(timerfd, &number, sizeof(number)));
    SHOW(timerfd_gettime(timerfd, &timer));
    close(timerfd);
    close(counter);
    close(epoll);

    int watch = inotify_init1(IN_NONBLOCK);
    char buffer[512];
    SHOW(inotify_add_watch(watch, ".", IN_CREATE));
    FILE *file = fopen("watched", "w");
    fclose(file);
    SHOW(read(watch, buffer, sizeof(buffer)));
    printf("%s\n", ((struct inotify_event *)buffer)->name);
    SHOW(inotify_rm_watch(watch, 1));
    close(watch);
}

static void signals_as_descriptors(void)
{
    sigset_t mask;
    struct signalfd_siginfo info;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, 0);
    int fd = signalfd(-1, &mask, SFD_NONBLOCK);
    SHOW(read(fd, &info, sizeof(info)));
    kill(getpid(), SIGUSR1);
    SHOW(read(fd, &info, sizeof(info)));
    printf("signal %u\n", info.ssi_signo);
    close(fd);
}

static void signals_that_interrupt(void)
{
    int ends[2];
    char byte;
    struct timespec long_time = {1000, 0}, left = {9, 9};
    struct pollfd entry = {.events = POLLIN};
    sigset_t none, usr2;

    pipe(ends);
    entry.fd = ends[0];
    handle(SIGALRM, 0);
    SHOW_WITH_ALARM(read(ends[0], &byte, 1));
    handle(SIGALRM, SA_RESTART);
    SHOW_WITH_ALARM(poll(&entry, 1, -1));
    SHOW_WITH_ALARM(nanosleep(&long_time, &left));
    printf("left %d\n", left.tv_sec > 500 && left.tv_sec < 1000);
    SHOW_WITH_ALARM(pause());
    SHOW_WITH_ALARM(select(0, 0, 0, 0, 0));
    printf("caught enough %d\n", caught >= 5 * SIGALRM);
    caught = 0;

    handle(SIGUSR2, 0);
    sigemptyset(&none);
    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    sigprocmask(SIG_BLOCK, &usr2, 0);
    kill(getpid(), SIGUSR2);
    printf("caught %d\n", caught);
    SHOW(ppoll(&entry, 1, 0, &none));
    printf("caught %d\n", caught);
    sigprocmask(SIG_BLOCK, 0, &usr2);
    printf("still blocked %d\n", sigismember(&usr2, SIGUSR2));
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){0, 0}, 0));
    SHOW(clock_nanosleep(CLOCK_REALTIME, 0, &(struct timespec){0, 1000000000}, 0));
    SHOW(nanosleep(&(struct timespec){0, 1000}, 0));
}

static int restart_ends[2];
static void *write_later(void *unused)
{
    while (!caught)
        usleep(1000);
    write(restart_ends[1], "x", 1);
    return unused;
}

static void signals_that_restart(void)
{
    char byte;
    pthread_t thread;
    sigset_t alarm_set;

    pipe(restart_ends);
    caught = 0;
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_set, 0);
    pthread_create(&thread, 0, write_later, 0);
    pthread_sigmask(SIG_UNBLOCK, &alarm_set, 0);
    handle(SIGALRM, SA_RESTART);
    SHOW_WITH_ALARM(read(restart_ends[0], &byte, 1));
    pthread_join(thread, 0);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, 0, _IONBF, 0);
    if (chdir(argc > 1 ? argv[1] : "/tmp"))
        return 1;
    polling();
    events();
    signals_as_descriptors();
    signals_that_interrupt();
    signals_that_restart();
    return 0;
}
