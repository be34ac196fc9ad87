/* A command of another program, run to its end with its words kept. */
#ifndef RUNNER_TOOL_H
#define RUNNER_TOOL_H

#include "run.h"
#include "util.h"

/*
 * Returns its exit status (as a shell gives it; 127: it is not there) or a negative errno when it could not be started.
 * Both its outputs are added to words. With options and signals of the main loop it is ended, and -EINTR returned, when
 * meanwhile we are asked to end; with NULL it is waited for in any case.
 */
int tool_run(const struct options *options, int signals, char *const argv[], struct text *words);

#endif
