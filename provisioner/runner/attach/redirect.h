/*
 * The maps that XDP programs redirect through. Out of the box every entry of a DEVMAP leads back out of the device
 * itself and every entry of a CPUMAP to a processor that there is, so that a redirect arrives somewhere; what was put
 * there before stays. An XSKMAP stays empty: its sockets belong to a user space of its own.
 */
#ifndef RUNNER_REDIRECT_H
#define RUNNER_REDIRECT_H

#include "run.h"

void redirect_fill_maps(const struct run *run);

/* Put the program into the entries of the object's DEVMAPs or CPUMAPs. Both return 0 or a negative errno. */
int attach_devmap(struct run *run, struct program *program);
int attach_cpumap(struct run *run, struct program *program);

#endif
