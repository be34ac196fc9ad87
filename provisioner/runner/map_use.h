/* What the programs of an object do with a map, read from their instructions. */
#ifndef RUNNER_MAP_USE_H
#define RUNNER_MAP_USE_H

#include "run.h"

/* They look entries up and never add one: it is filled from outside, or stays empty. */
bool map_is_only_looked_up(const struct run *run, const struct bpf_map *map);

#endif
