/* The main loop: what programs, triggers and a companion say, until something asks us to stop. */
#ifndef RUNNER_WATCH_H
#define RUNNER_WATCH_H

#include "run.h"

/* From here on signals are read in the main loop, from this descriptor. Before, during the load, see interrupt.h. */
int catch_signals(void);
/* Blocks until a line has come on stdin; returns false when stdin ends without one. */
bool wait_for_line(void);
/* Returns the reason to stop: what "done" says (message.h). */
const char *watch(const struct options *options, int signals);
/* For those who wait for something else before the main loop begins: whether to end now. Does not wait. */
bool end_is_asked(const struct options *options, int signals);
/* What was said before the programs were detached, and has not been read yet. */
void read_the_rest(void);

#endif
