// SPDX-License-Identifier: Apache-2.0
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int check_failures;
static sigjmp_buf fault_return;

void check(int good, const char *format, ...)
{
    va_list arguments;

    printf(good ? "ok - " : "not ok - ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
    check_failures += !good;
}

static void on_fault(int signal)
{
    siglongjmp(fault_return, signal);
}

void catch_faults(void)
{
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};

    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
}

int peek(uint64_t address, uint64_t *value)
{
    uint64_t read;
    int signal = sigsetjmp(fault_return, 1);

    if (signal)
        return signal;
    read = *(volatile uint64_t *)address;
    if (value)
        *value = read;
    return 0;
}

int poke(uint64_t address, uint64_t value)
{
    int signal = sigsetjmp(fault_return, 1);

    if (signal)
        return signal;
    *(volatile uint64_t *)address = value;
    return 0;
}

int in_child(int (*body)(void *argument), void *argument)
{
    pid_t child;
    int status;

    fflush(stdout);
    child = fork();
    if (!child)
        _exit(body(argument));
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 255;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

long read_number(const char *path)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    if (read(fd, text, sizeof(text) - 1) < 1)
        strcpy(text, "-1");
    close(fd);
    return atol(text);
}

void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        check(0, "write \"%s\" to %s", text, path);
    if (fd >= 0)
        close(fd);
}

/* What turns it off may fail because of it. */
void set_failing(const char *text)
{
    int fd;

    do
        fd = open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);
    while (fd < 0 && errno == ENOMEM);
    while (write(fd, text, 1) < 0 && errno == ENOMEM)
        ;
    if (fd < 0)
        check(0, "fault injection: %s", text);
    close(fd);
}
