#include "testbed/traffic.h"

#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <linux/seg6.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testbed/frames.h"
#include "testbed/services.h"
#include "testbed/testbed.h"
#include "util.h"

#define ROUND_MICROSECONDS 1000000
#define PAYLOAD_BYTES 56 /* as ping sends */

static const uint16_t UDP_SOURCE_PORTS[] = { 40001, 40002, 40003 };

struct address {
	struct sockaddr_storage data;
	socklen_t size;
};

static struct address make_address(int family, const char *ipv4, const char *ipv6, uint16_t port)
{
	struct address address = {};

	address.data.ss_family = family;
	if (family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&address.data;

		in->sin_port = htons(port);
		inet_pton(AF_INET, ipv4, &in->sin_addr);
		address.size = sizeof(*in);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address.data;

		in6->sin6_port = htons(port);
		inet_pton(AF_INET6, ipv6, &in6->sin6_addr);
		address.size = sizeof(*in6);
	}
	return address;
}

static struct address target(int family, uint16_t port)
{
	return make_address(family, TESTBED_IPV4, TESTBED_IPV6, port);
}

static void send_to(int fd, const struct address *to, const void *data, size_t size)
{
	/* Refusals are part of the game: an earlier packet may have been answered with "unreachable". */
	(void)!sendto(fd, data, size, 0, (const struct sockaddr *)&to->data, to->size);
}

/* The kernel on the other side answers; the answers wait in the raw socket until it is closed. */
static void ping(int family, uint16_t sequence)
{
	/* ICMP and ICMPv6 echo requests differ only in their type and in who computes the checksum. */
	struct {
		struct icmphdr header;
		unsigned char payload[PAYLOAD_BYTES];
	} packet = { .header.un.echo = { htons(getpid() & 0xffff), htons(sequence) } };
	struct address to = target(family, 0);
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);

	packet.header.type = family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	if (family == AF_INET)
		packet.header.checksum = internet_checksum(&packet, sizeof(packet));
	send_to(fd, &to, &packet, sizeof(packet));
	close(fd);
}

/* "A? ebpf-dev.example", recursion wanted */
static const char DNS_QUERY[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
				"\x08" "ebpf-dev" "\x07" "example" "\x00" "\x00\x01\x00\x01";
static const char GREETING[] = "hello from ebpf-dev\n";

static void send_datagrams(int family, uint16_t source_port)
{
	struct address from = make_address(family, "0.0.0.0", "::", source_port);
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)!bind(fd, (struct sockaddr *)&from.data, from.size);
	for (size_t i = 0; i < COUNT(ECHO_PORTS); i++) {
		struct address to = target(family, ECHO_PORTS[i]);
		bool dns = ECHO_PORTS[i] == 53;

		send_to(fd, &to, dns ? DNS_QUERY : GREETING, (dns ? sizeof(DNS_QUERY) : sizeof(GREETING)) - 1);
	}
	close(fd);
}

/* A datagram that travels by segment routing: through TESTBED_SEGMENT, which a seg6local program may answer to. */
static void send_over_segment(void)
{
	struct {
		struct ipv6_sr_hdr header;
		struct in6_addr segments[2];	/* the last one first */
	} route = { .header = { .hdrlen = sizeof(route.segments) / 8, .type = IPV6_SRCRT_TYPE_4,
				.segments_left = 1, .first_segment = 1 } };
	struct address to = target(AF_INET6, ECHO_PORTS[0]);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET6, TESTBED_IPV6, &route.segments[0]);
	inet_pton(AF_INET6, TESTBED_SEGMENT, &route.segments[1]);
	if (!setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, &route, sizeof(route)))
		send_to(fd, &to, DNS_QUERY, sizeof(DNS_QUERY) - 1);
	close(fd);
}

static void request_page(int family, uint16_t port)
{
	static const char request[] = "GET / HTTP/1.0\r\nHost: ebpf-dev\r\n\r\n";
	struct address to = target(family, port);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[512];

	set_socket_deadline(fd);
	if (!connect(fd, (struct sockaddr *)&to.data, to.size)) {
		send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
		while (read(fd, answer, sizeof(answer)) > 0)
			;
	}
	close(fd);
}

static void send_round(int family, uint16_t sequence)
{
	ping(family, sequence);
	for (size_t i = 0; i < COUNT(UDP_SOURCE_PORTS); i++)
		send_datagrams(family, UDP_SOURCE_PORTS[i]);
	for (size_t i = 0; i < COUNT(HTTP_PORTS); i++)
		request_page(family, HTTP_PORTS[i]);
}

void traffic_send_forever(void)
{
	for (uint16_t sequence = 1;; sequence++) {
		send_round(AF_INET, sequence);
		send_round(AF_INET6, sequence);
		send_over_segment();
		send_vlan_frame();
		usleep(ROUND_MICROSECONDS);
	}
}
