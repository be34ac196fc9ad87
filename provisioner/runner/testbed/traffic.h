/* What travels over the testbed, about once a second: ping, UDP (DNS on port 53), HTTP, a VLAN, segment routing. */
#ifndef RUNNER_TRAFFIC_H
#define RUNNER_TRAFFIC_H

void traffic_send_forever(void) __attribute__((noreturn));	/* in the peer's namespace; services.h answers */

#endif
