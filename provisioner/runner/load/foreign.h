/*
 * bpftool and xdp-loader instead of our own way to load and attach: the object goes to them as it is, and we look at
 * what they pinned. They do that in a bpffs of this run's own, mounted where only we and our children see it: when we
 * end, however we end, nothing is pinned any more.
 */
#ifndef RUNNER_FOREIGN_H
#define RUNNER_FOREIGN_H

#include "run.h"

const struct foreign_loader *foreign_loader(const char *name); /* NULL: there is none of that name */

/*
 * Lets the loader have the opened object, and takes over what it made: programs for their counts, maps for their
 * records and entries. Returns an exit status; a failure has been reported.
 */
int foreign_load(struct run *run, int signals);
void foreign_unload(struct run *run);

#endif
