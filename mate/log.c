/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdint.h>

#include "string.h"
#include "syscall.h"

#define LINE_SIZE 1024
#define STDERR 2

struct line {
    char text[LINE_SIZE];
    size_t size;
};

static void put(struct line *line, char c)
{
    if (line->size < sizeof(line->text) - 1) /* one is kept for the newline */
        line->text[line->size++] = c;
}

static void put_string(struct line *line, const char *s)
{
    while (*s)
        put(line, *s++);
}

static void put_number(struct line *line, uint64_t value, unsigned base)
{
    char digits[20];
    size_t count = 0;

    do
        digits[count++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (count)
        put(line, digits[--count]);
}

static void put_signed(struct line *line, int64_t value)
{
    if (value < 0)
        put(line, '-');
    put_number(line, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

static void put_format(struct line *line, const char *format, va_list arguments)
{
    for (; *format; format++) {
        int is_long = 0;

        if (*format != '%') {
            put(line, *format);
            continue;
        }
        if (*++format == 'l') {
            is_long = 1;
            format++;
        }
        switch (*format) {
        case 's':
            put_string(line, va_arg(arguments, const char *));
            break;
        case 'd':
            put_signed(line, is_long ? va_arg(arguments, long) : va_arg(arguments, int));
            break;
        case 'u':
            put_number(line, is_long ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned int), 10);
            break;
        case 'x':
            put_string(line, "0x");
            put_number(line, is_long ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned int), 16);
            break;
        default:
            put(line, *format);
        }
    }
}

static void write_line(struct line *line)
{
    line->text[line->size++] = '\n';
    syscall3(__NR_write, STDERR, line->text, line->size);
}

static void log_va(const char *format, va_list arguments)
{
    struct line line = {.size = 0};

    put_string(&line, "teemate: ");
    put_format(&line, format, arguments);
    write_line(&line);
}

void log_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_va(format, arguments);
    va_end(arguments);
}

void log_text(const char *prefix, const char *text, size_t size)
{
    struct line line = {.size = 0};

    put_string(&line, "teemate: ");
    put_string(&line, prefix);
    for (size_t i = 0; i < size; i++)
        put(&line, text[i] >= ' ' || text[i] < 0 ? text[i] : '?');
    write_line(&line);
}

void die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_va(format, arguments);
    va_end(arguments);
    for (;;)
        syscall1(__NR_exit_group, EXIT_MATE_FAILED);
}

void die_with(int status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_va(format, arguments);
    va_end(arguments);
    for (;;)
        syscall1(__NR_exit_group, status);
}
