/* SPDX-License-Identifier: Apache-2.0 */
/* One line on stderr, "teemate: ...". printf subset: %s %d %u %x %ld %lu %lx. Truncated at 1 KiB. */
#ifndef TEEMATE_MATE_LOG_H
#define TEEMATE_MATE_LOG_H
#include <stddef.h>

/* What a container runtime reports when it could not start the program */
#define EXIT_MATE_FAILED 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Log, then end the process. The message says fact, cause and remedy. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void die_with(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As log_error, for text that somebody else wrote: control characters become '?'. */
void log_text(const char *prefix, const char *text, size_t size);
#endif
