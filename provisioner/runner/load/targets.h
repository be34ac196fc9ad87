/* Whether the kernel has what a BTF-based program names, which libbpf answers by refusing the whole object. */
#ifndef RUNNER_TARGETS_H
#define RUNNER_TARGETS_H

#include "run.h"

/* Marks pending programs whose target is absent as skipped, with the reason; returns how many. */
size_t skip_absent_targets(struct run *run);

#endif
