/*
 * The control group for programs of the cgroup types: one of our own below the cgroup2 mount, with a child at work
 * inside it, so that such a program can lock out nobody else. Another child keeps watch and removes the cgroup,
 * however the runner ends. A companion runs in it too: all that it starts ends with it, be it a fork bomb.
 */
#ifndef RUNNER_CGROUPS_H
#define RUNNER_CGROUPS_H

#include "run.h"

int attach_cgroup(struct run *run, struct program *program); /* makes the cgroup when it is the first */
int cgroups_root(void);	    /* a descriptor of the cgroup2 mount, or a negative errno */
bool is_cgroup_type(enum bpf_prog_type type);
bool cgroups_has_ours(void);
void cgroups_make(void);    /* our own, without a program */
void cgroups_start_work(void); /* inside our own, if there is one */
void cgroups_join(void);    /* moves the calling process into our own, if there is one */
void cgroups_kill(void);    /* what runs in our own */
void cgroups_remove(void);  /* our own, with all that runs in it; before the other children are killed */

#endif
