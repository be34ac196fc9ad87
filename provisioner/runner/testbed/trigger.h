/* Commands of the user that should make the programs do something. */
#ifndef RUNNER_TRIGGER_H
#define RUNNER_TRIGGER_H

#include <stddef.h>

/* namespace: a descriptor of the network namespace to run in, -1 for ours. */
void triggers_start(const char *const *commands, size_t count, int namespace);
size_t triggers_descriptors(int *descriptors, size_t limit);
void triggers_read(void);
void triggers_reap(void);	/* after SIGCHLD */
void triggers_stop(void);

#endif
