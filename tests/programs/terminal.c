/* SPDX-License-Identifier: Apache-2.0 */
/* A terminal's modes, line editing and size, asked for by lines of input; ends at "quit". */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static void on_interrupt(int number)
{
    (void)number;
    (void)!write(1, "interrupted\n", 12);
}

int main(void)
{
    printf("terminal %d %d %d\n", isatty(0), isatty(1), isatty(2));
    struct termios modes;
    int result = tcgetattr(0, &modes);
    printf("modes %d echo %d\n", result, (modes.c_lflag & ECHO) != 0);
    modes.c_lflag &= ~(tcflag_t)ECHO;
    printf("set %d\n", tcsetattr(0, TCSANOW, &modes));
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    printf("ready\n");
    fflush(stdout);
    char line[100];
    while (fgets(line, sizeof(line), stdin)) {
        struct winsize size = {0};
        if (!strncmp(line, "quit", 4))
            return 7;
        if (!strncmp(line, "size", 4) && !ioctl(0, TIOCGWINSZ, &size))
            printf("size %dx%d\n", size.ws_col, size.ws_row);
        else
            printf("line %s", line);
        fflush(stdout);
    }
    return 0;
}
