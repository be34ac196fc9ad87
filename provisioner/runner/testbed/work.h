/*
 * Work for programs that nothing in the system sets off by itself: inside a cgroup, under sampling, by a congestion
 * control. None in a passive run, and none when a trigger of the user's takes its place.
 */
#ifndef RUNNER_WORK_H
#define RUNNER_WORK_H

#include "run.h"

void work_start(const struct run *run);			 /* for what was attached */
void work_start_beside(const struct options *options);	 /* for what a companion attaches, as its object tells */

#endif
