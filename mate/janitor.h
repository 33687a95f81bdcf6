/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_MATE_JANITOR_H
#define TEEMATE_MATE_JANITOR_H

/* Serve ATTACH_SCRUB on descriptor 3 until the daemon closes it. */
_Noreturn void janitor_run(void);

/* In a worker: nothing but what recovering and scrubbing takes. */
void janitor_confine(void);
#endif
