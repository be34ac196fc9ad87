/*
 * A place for network programs: two unnamed network namespaces joined by a veth pair. We move into the first
 * ourselves, a child lives in the second and sends traffic. As nothing has a name, everything vanishes with the
 * processes, however they end.
 *
 *   ours (programs attach here)   ebpf0  192.0.2.1/24  2001:db8::1/64   answers ping, UDP and HTTP
 *   the peer's                    ebpf1  192.0.2.2/24  2001:db8::2/64   sends them, about once a second
 *
 * The addresses are those set aside for documentation (RFC 5737, RFC 3849): no real network has them.
 */
#ifndef RUNNER_TESTBED_H
#define RUNNER_TESTBED_H

#define TESTBED_DEVICE "ebpf0"
#define TESTBED_PEER_DEVICE "ebpf1"
#define TESTBED_IPV4 "192.0.2.1"
#define TESTBED_IPV6 "2001:db8::1"
#define TESTBED_PEER_IPV4 "192.0.2.2"
#define TESTBED_PEER_IPV6 "2001:db8::2"

struct testbed;

struct testbed *testbed_create(void);	/* NULL on failure, which has been logged */
void testbed_start_traffic(struct testbed *testbed);
int testbed_peer_namespace(const struct testbed *testbed);	/* a descriptor, for setns() */
void testbed_destroy(struct testbed *testbed);

#endif
