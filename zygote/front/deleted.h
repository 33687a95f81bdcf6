/* SPDX-License-Identifier: Apache-2.0 */
/* The `delete` action when there is nothing left to delete. */
#ifndef TEEMATE_ZYGOTE_DELETED_H
#define TEEMATE_ZYGOTE_DELETED_H

/*
 * If this is the `delete` action for a container that its shim has deleted itself, print what the shim has left as the
 * answer (shim/remove.py). Return: 0, or -1 if there may be something to do, with nothing printed.
 */
int answer_for_deleted(char *const *arguments);

#endif
