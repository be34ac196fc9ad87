/* From loaded programs to programs that run. */
#ifndef RUNNER_ATTACH_H
#define RUNNER_ATTACH_H

#include "run.h"

/* Before attaching: whether a program wants a network device, so that a testbed is worth making. */
bool needs_device(const struct run *run);
bool wants_netkit(const struct run *run);

/*
 * Attaches every program it can and says how each went. Returns an exit status: EXIT_ATTACH when one that should
 * attach did not, or none did; the failure has been reported.
 */
int attach_programs(struct run *run);
size_t count_attached(const struct run *run);
void detach_programs(struct run *run);

/* One program message; with the counts of runs when the run is over. */
void say_program(const struct program *program, bool with_counts);

#endif
