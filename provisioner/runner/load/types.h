/* Whether the kernel has a program's type at all, to which libbpf only says "Invalid argument" for the whole object. */
#ifndef RUNNER_TYPES_H
#define RUNNER_TYPES_H

#include "run.h"

/* Marks pending programs of types that this kernel lacks as skipped, with the reason; returns how many. */
size_t skip_unknown_types(struct run *run);

#endif
