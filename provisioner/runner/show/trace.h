/*
 * bpf_printk, read from a tracefs instance of our own: other readers of trace_pipe would take lines away, and it
 * would show old ones. Falls back to the global trace_pipe.
 */
#ifndef RUNNER_TRACE_H
#define RUNNER_TRACE_H

#include <stdbool.h>

void trace_open(void);		/* a failure is logged: the run goes on without printk */
int trace_descriptor(void);	/* to poll, -1 when there is none */
bool trace_read(void);		/* what is there now, but not for ever in a flood; true when there may be more */
void trace_close(void);

#endif
