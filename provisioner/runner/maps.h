/* What the programs left in their maps and global variables. */
#ifndef RUNNER_MAPS_H
#define RUNNER_MAPS_H

#include "run.h"

void maps_dump(const struct run *run);

#endif
