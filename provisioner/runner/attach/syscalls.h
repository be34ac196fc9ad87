/* Programs of type syscall: called once, when everything else is attached. */
#ifndef RUNNER_SYSCALLS_H
#define RUNNER_SYSCALLS_H

#include "run.h"

bool is_syscall(const struct program *program);
int attach_syscall(struct run *run, struct program *program);
void syscalls_call(struct run *run); /* in the order of the object; each result is a note */

#endif
