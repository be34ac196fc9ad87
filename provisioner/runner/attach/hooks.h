/* Attaching to kernel functions and tracepoints by the names that sections give them. */
#ifndef RUNNER_HOOKS_H
#define RUNNER_HOOKS_H

#include "run.h"

/*
 * Attach functions for the table in attach.c. A name that the kernel does not know is tried as what it may mean: a
 * system call by its old name, a function of which the compiler made a changed copy, a tracepoint without its group.
 * program->target says what it became; when there is nothing, program->absent and the reason with near names.
 */
int attach_kprobe(struct run *run, struct program *program);
int attach_tracepoint(struct run *run, struct program *program);
int attach_raw_tracepoint(struct run *run, struct program *program);

#endif
