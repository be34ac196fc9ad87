/* Programs for infrared receivers. */
#ifndef RUNNER_LIRC_H
#define RUNNER_LIRC_H

#include "run.h"

int attach_lirc(struct run *run, struct program *program); /* 0 or a negative errno */
void lirc_detach(void);

#endif
