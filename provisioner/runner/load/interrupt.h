/* An end that comes during the load: a stop while the kernel verifies, or libbpf falling over a damaged object. */
#ifndef RUNNER_INTERRUPT_H
#define RUNNER_INTERRUPT_H

#include <stdbool.h>

/*
 * Between the two, SIGINT, SIGTERM, SIGHUP and (with watch_stdin) the end of stdin end the process at once with the
 * last message said, and so does a crash. Everything in the kernel hangs on descriptors then, so there is nothing to
 * clean up.
 */
void interrupt_allow(bool watch_stdin);
void interrupt_forbid(void);

#endif
