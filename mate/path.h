/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_MATE_PATH_H
#define TEEMATE_MATE_PATH_H

#define PATH_LENGTH_MAX 4096

/*
 * The file that execvp would run. Ends the process with a message when there is none (127) or it may not be executed
 * (126).
 */
const char *path_resolve(const char *program, char **environment);
#endif
