/* What travels over the testbed: about once a second ping, UDP and HTTP, over IPv4 and IPv6. */
#ifndef RUNNER_TRAFFIC_H
#define RUNNER_TRAFFIC_H

void traffic_send_forever(void) __attribute__((noreturn));	/* in the peer's namespace */
void traffic_answer_forever(void) __attribute__((noreturn));	/* in ours */

#endif
