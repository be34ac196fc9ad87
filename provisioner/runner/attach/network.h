/* Attaching to a network device: the testbed's, or the one of --dev. All return 0 or a negative errno. */
#ifndef RUNNER_NETWORK_H
#define RUNNER_NETWORK_H

#include "run.h"

int attach_xdp(struct run *run, struct program *program);
int attach_tc(struct run *run, struct program *program);  /* clsact, by direction in the names */
int attach_tcx(struct run *run, struct program *program); /* Linux 6.6 */
int attach_netkit(struct run *run, struct program *program); /* Linux 6.7 */
void network_detach(void);

#endif
