/*
 * Programs of lightweight tunnels, which run for packets that take a certain route: lwt_in on the testbed's own
 * addresses, lwt_out and lwt_xmit on the way to the peer, lwt_seg6local on a segment the peer sends through.
 */
#ifndef RUNNER_ROUTES_H
#define RUNNER_ROUTES_H

#include "run.h"

int attach_lwt(struct run *run, struct program *program); /* 0 or a negative errno */

#endif
