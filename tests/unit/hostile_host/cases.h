/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CASES_H
#define CASES_H

struct fake_case {
    const char *name;
    void (*run)(void);
};
/* Each list ends with a NULL name. */
extern const struct fake_case file_cases[], directory_cases[], ioctl_cases[], socket_cases[], wait_cases[],
    table_cases[], stack_cases[], thread_cases[];
#endif
