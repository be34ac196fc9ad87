/*
 * One hook written twice in an object, for kernels that have only one of the two ways in: fentry and kprobe on a
 * function, tp_btf and raw_tp on a tracepoint. Both would attach, and everything would be counted twice.
 */
#ifndef RUNNER_TWINS_H
#define RUNNER_TWINS_H

#include "load/elf_image.h"
#include "run.h"

/*
 * Marks among pending programs those that are left out for a better one, with the reason. Twins are on the same hook,
 * and the worse uses all maps and variables that the better one uses: two that store to different places were meant
 * to run beside each other, and a kretprobe may need one more map, filled by a kprobe that is then left out too.
 */
void twins_leave_out(struct run *run, const struct elf_image *image);

/* Takes back the twins of programs whose target is absent or that the kernel refused; returns how many. */
size_t twins_take_back(struct run *run);

#endif
