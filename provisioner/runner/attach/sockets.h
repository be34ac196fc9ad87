/* Attaching to sockets and to the network namespace we are in. All return 0 or a negative errno. */
#ifndef RUNNER_SOCKETS_H
#define RUNNER_SOCKETS_H

#include "run.h"

int attach_socket_filter(struct run *run, struct program *program);	/* a packet socket on the device */
int attach_sk_lookup(struct run *run, struct program *program);
int attach_flow_dissector(struct run *run, struct program *program);
int attach_sk_reuseport(struct run *run, struct program *program);	/* the testbed's services */
#if HAVE_LIBBPF(1, 3)
int attach_netfilter(struct run *run, struct program *program);		/* Linux 6.4 */
#endif
void sockets_detach(void);

#endif
