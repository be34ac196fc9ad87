/*
 * One hook written twice in an object, for kernels that have only one of the two ways in: fentry and kprobe on a
 * function, tp_btf and raw_tp on a tracepoint. Both would attach, and everything would be counted twice.
 */
#ifndef RUNNER_TWINS_H
#define RUNNER_TWINS_H

#include "elf_image.h"
#include "run.h"

/*
 * Marks among pending programs the one of each pair that is left out, with the reason; twins are on the same hook and
 * use the same maps and variables, because two that store to different places were meant to run beside each other.
 */
void twins_leave_out(struct run *run, const struct elf_image *image);

/* Takes back the twins of programs whose target is absent or that the verifier refused; returns how many. */
size_t twins_take_back(struct run *run);

#endif
