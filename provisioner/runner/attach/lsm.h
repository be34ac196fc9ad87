/* LSM programs, and those that may keep even us from using bpf(). */
#ifndef RUNNER_LSM_H
#define RUNNER_LSM_H

#include "run.h"

int attach_lsm(struct run *run, struct program *program);
int attach_lsm_cgroup(struct run *run, struct program *program);

/* It judges bpf() itself: to be attached last, when we no longer need that. */
bool judges_bpf(const struct program *program);
bool bpf_is_judged(const struct run *run); /* while this is true, bpf() is not to be used */
void await_bpf(const struct run *run); /* after detaching: until we may use it again */

#endif
