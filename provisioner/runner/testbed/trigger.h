/* Commands of the user that should make the programs do something. */
#ifndef RUNNER_TRIGGER_H
#define RUNNER_TRIGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* namespace: a descriptor of the network namespace to run in, -1 for ours. */
void triggers_start(const char *const *commands, size_t count, int namespace);
size_t triggers_descriptors(int *descriptors, size_t limit);
void triggers_read(void);
bool triggers_take_end(pid_t pid, int status);	/* of a child that has ended; false when it is none of them */
void triggers_stop(void);

#endif
