/* A program's own user space: started instead of loading an object, its lines passed on, ended with us. */
#ifndef RUNNER_COMPANION_H
#define RUNNER_COMPANION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "run.h"

int companion_start(char *const argv[]);	/* 0 or -errno */
/* Until its programs can be thought attached, as options->patience allows. Returns whether we are asked to end. */
bool companion_await(const struct options *options, int signals);
size_t companion_descriptors(int *descriptors, size_t limit);
void companion_read(void);
void companion_take_end(pid_t pid, int status);	/* of a child that has ended, whichever it is */
bool companion_ended(void);
void companion_stop(const struct options *options); /* asks it, waits, and kills it */
int companion_status(void);			/* as a shell would give it: 128 + signal when killed */

#endif
