/* The maps that another loader made for an object, known to our own copy of it from then on. */
#ifndef RUNNER_FOREIGN_MAPS_H
#define RUNNER_FOREIGN_MAPS_H

#include "run.h"

void foreign_maps_pinned(struct run *run, const char *directory); /* all that are pinned there */
void foreign_maps_of_program(struct run *run, int program_fd);	  /* those that it uses */

#endif
