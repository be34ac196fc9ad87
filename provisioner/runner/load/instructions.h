/* What the programs of an object do, read from their instructions. */
#ifndef RUNNER_INSTRUCTIONS_H
#define RUNNER_INSTRUCTIONS_H

#include "run.h"

/* They look entries of it up and never add one: it is filled from outside, or stays empty. */
bool map_is_only_looked_up(const struct run *run, const struct bpf_map *map);

bool programs_call(const struct run *run, enum bpf_func_id helper);

#endif
