/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for the mate's log. They are formatted in the enclave and tell the host nothing else. */
#include <stdarg.h>

#include "host.h"
#include "string.h"
#include "thread.h"
#include "vfork.h"

#define LINE_SIZE 512

struct line {
    char text[LINE_SIZE];
    uint32_t size;
};

static void put(struct line *line, char c)
{
    if (line->size < LINE_SIZE)
        line->text[line->size++] = c;
}

static void put_string(struct line *line, const char *s)
{
    for (s = s ? s : "(null)"; *s; s++)
        put(line, *s);
}

static void put_number(struct line *line, uint64_t value, unsigned base)
{
    char digits[20];
    int count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
    } while (value /= base);
    while (count)
        put(line, digits[--count]);
}

static void put_signed(struct line *line, int64_t value)
{
    if (value < 0)
        put(line, '-');
    put_number(line, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

void host_log(uint32_t level, const char *format, ...)
{
    struct line line;
    line.size = 0;
    va_list args;
    va_start(args, format);
    for (const char *f = format; *f; f++) {
        if (*f != '%') {
            put(&line, *f);
            continue;
        }
        int is_long = f[1] == 'l';
        f += 1 + is_long;
        if (*f == 's')
            put_string(&line, va_arg(args, const char *));
        else if (*f == 'd')
            put_signed(&line, is_long ? va_arg(args, long) : va_arg(args, int));
        else if (*f == 'u' || *f == 'x')
            put_number(&line, is_long ? va_arg(args, unsigned long) : va_arg(args, unsigned), *f == 'x' ? 16 : 10);
        else if (*f == 0)
            break;
        else
            put(&line, *f);
    }
    va_end(args);

    memcpy(host_buffer(), line.text, line.size);
    volatile struct exchange *exchange = thread_self()->exchange;
    exchange->op = OCALL_LOG;
    exchange->u.log.level = level;
    exchange->u.log.size = line.size;
    enclave_ocall();
    if (thread_self()->is_vfork_child)
        vfork_check_return(thread_self());
}
