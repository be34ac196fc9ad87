/* perf_event programs: run by a timer or a counter on every CPU. */
#ifndef RUNNER_SAMPLING_H
#define RUNNER_SAMPLING_H

#include "run.h"

/* How often is said in the section, "perf_event/type=0,config=3,frequency=1", or is the CPU clock at 49 Hz. */
int attach_perf_event(struct run *run, struct program *program);
bool sampling_is_on(void);
void sampling_start_load(void); /* a child that keeps a CPU busy */
void sampling_detach(void);

#endif
