/* SPDX-License-Identifier: Apache-2.0 */
/* Making a call of the zygote: the part that both fronts share. */
#ifndef TEEMATE_ZYGOTE_CALL_H
#define TEEMATE_ZYGOTE_CALL_H

#include "protocol.h"

#define DEFAULT_HOST "/run/teemate"

/* The call was not taken: make it by an interpreter started cold. */
#define CALL_COLD (-1)

/*
 * Let the zygote in the run directory `host` make the call and do what it orders.
 *
 * Return: the exit status, or CALL_COLD. Does not return when the zygote orders this process to become another program.
 */
int call_zygote(const char *host, enum program program, char *const *arguments);

/* The directory of this executable, without a slash at its end. -1: it does not fit. */
int own_directory(char *directory, unsigned long size);

/* The name of this program, for its messages. */
extern const char *const program_name;

#endif
