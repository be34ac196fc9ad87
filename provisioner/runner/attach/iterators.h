/* Iterator programs: attached with the parameters that their target needs, then read to the end. */
#ifndef RUNNER_ITERATORS_H
#define RUNNER_ITERATORS_H

#include "run.h"

bool is_iterator(const struct program *program);
int attach_iterator(struct run *run, struct program *program);

/*
 * Says what the iterators wrote that are due: most when the run begins; at its end those that look at what the run
 * does (triggers) or at maps that its other programs fill.
 */
void iterators_read(struct run *run, bool at_end);

#endif
