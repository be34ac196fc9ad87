/* What a child does inside the cgroup: something for every hook of a cgroup, about once a second. */
#ifndef RUNNER_CGROUP_WORK_H
#define RUNNER_CGROUP_WORK_H

void cgroup_work_forever(void) __attribute__((noreturn));

#endif
