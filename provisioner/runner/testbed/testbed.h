/*
 * A place for network programs: two unnamed network namespaces joined by a veth (or netkit) pair. We move into the
 * first ourselves, a child lives in the second and sends traffic. As nothing has a name, everything vanishes with the
 * processes, however they end.
 *
 *   ours (programs attach here)   ebpf0  192.0.2.1/24  2001:db8::1/64   answers ping, UDP and HTTP
 *   the peer's                    ebpf1  192.0.2.2/24  2001:db8::2/64   sends them, about once a second
 *
 * The addresses are those set aside for documentation (RFC 5737, RFC 3849, RFC 7042): no real network has them. The
 * peer also sends to TESTBED_SEGMENT, in a prefix that it reaches through us and that we have no route for.
 */
#ifndef RUNNER_TESTBED_H
#define RUNNER_TESTBED_H

#include <stdbool.h>

#include "testbed/services.h"

#define TESTBED_DEVICE "ebpf0"
#define TESTBED_PEER_DEVICE "ebpf1"
#define TESTBED_IPV4 "192.0.2.1"
#define TESTBED_IPV6 "2001:db8::1"
#define TESTBED_PEER_IPV4 "192.0.2.2"
#define TESTBED_PEER_IPV6 "2001:db8::2"
#define TESTBED_MAC "00:00:5e:00:53:01"
#define TESTBED_PEER_MAC "00:00:5e:00:53:02"
#define TESTBED_SEGMENT "2001:db8:1::1"
#define TESTBED_SEGMENT_NETWORK "2001:db8:1::" /* /64 */

struct testbed;

/* With netkit, a pair of that kind where the kernel has it. NULL on failure, which has been logged. */
struct testbed *testbed_create(bool netkit);
bool testbed_is_netkit(const struct testbed *testbed);
void testbed_start_traffic(struct testbed *testbed);
int testbed_peer_namespace(const struct testbed *testbed);	/* a descriptor, for setns() */
const struct service *testbed_services(const struct testbed *testbed);
void testbed_destroy(struct testbed *testbed);

#endif
