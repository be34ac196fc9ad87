/* Whether the kernel has what a BTF-based program names, which libbpf answers by refusing the whole object. */
#ifndef RUNNER_TARGETS_H
#define RUNNER_TARGETS_H

#include "run.h"

/*
 * Pending programs whose target is absent get another, where one is known, or are marked as skipped, with the reason;
 * returns how many. libbpf takes another target only from an object that it has not tried to load: open it again.
 */
size_t settle_absent_targets(struct run *run);

/* Tells libbpf of the targets settled so far; for an object that was just opened. */
void set_targets(struct run *run);

#endif
