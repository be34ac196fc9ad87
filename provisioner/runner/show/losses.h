/*
 * Records that found no room in a ring buffer. The kernel does not count them, so its own functions are watched:
 * whoever asks them for room and gets none is counted, by map.
 */
#ifndef RUNNER_LOSSES_H
#define RUNNER_LOSSES_H

#include <linux/types.h>

#include "run.h"

bool losses_count(const struct run *run, int map_fd); /* from now on; false when this kernel does not let us */
__u64 losses_take(int map_fd); /* how many since the last time */
void losses_close(void);

#endif
