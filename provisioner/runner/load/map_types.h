/* The types that maps are declared with: libbpf forgets some of them when it makes the map. */
#ifndef RUNNER_MAP_TYPES_H
#define RUNNER_MAP_TYPES_H

#include "run.h"

void map_types_remember(const struct bpf_map *map); /* before load */

/* BTF ids in the object; 0 when unknown. */
__u32 map_key_type(const struct bpf_map *map);
__u32 map_value_type(const struct bpf_map *map);
/* Of the maps inside a map, by the name of the outer one. */
__u32 map_inner_key_type(const char *outer);
__u32 map_inner_value_type(const char *outer);

#endif
