/* Map definitions that leave to their own loader what a kernel wants to know. */
#ifndef RUNNER_MAP_DEFAULTS_H
#define RUNNER_MAP_DEFAULTS_H

#include <bpf/libbpf.h>

/* Gives an opened map the sizes it lacks, and says so as a note. */
void map_set_defaults(struct bpf_map *map);

#endif
