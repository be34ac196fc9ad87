/* What the programs left in their maps and global variables. */
#ifndef RUNNER_MAPS_H
#define RUNNER_MAPS_H

#include "run.h"

/* To be called once no program runs any more: queues and stacks are emptied by reading them. */
void maps_dump(const struct run *run);

/* Of the other types the values are descriptors, buffers or sockets, or cannot be listed. */
bool map_has_entries(enum bpf_map_type type);

#endif
