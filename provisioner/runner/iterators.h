/* Iterator programs write to whoever reads them: read each to its end, once. */
#ifndef RUNNER_ITERATORS_H
#define RUNNER_ITERATORS_H

#include "run.h"

bool is_iterator(const struct program *program);
void iterators_read(struct run *run);

#endif
