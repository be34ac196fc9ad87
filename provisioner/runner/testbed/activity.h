/*
 * Ordinary life, so that programs that watch a system have something to see: files, processes, signals, memory,
 * threads, name look-up, sockets on loopback, and what the hooks ask for beyond. Without being asked, in rounds, until
 * the end; a trigger of the user's takes its place.
 *
 * A keeper process starts a child for each round, so that a round may be killed, refused or hung by the programs it
 * is for. The keeper also removes what the rounds leave, however the runner ends.
 */
#ifndef RUNNER_ACTIVITY_H
#define RUNNER_ACTIVITY_H

#include "run.h"

void activity_start_for(const struct run *run);			/* what its attached programs hook */
void activity_start_beside(const struct options *options);	/* a companion; what its object would hook */
void activity_stop(void); /* again when programs that deny signals have gone */

#endif
