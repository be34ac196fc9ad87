#include "traffic.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "testbed.h"

#define ROUND_MICROSECONDS 1000000
#define GIVE_UP_MICROSECONDS 300000 /* on a peer that a program made silent */
#define PAYLOAD_BYTES 56	    /* as ping sends */

static const uint16_t UDP_PORTS[] = { 53, 1234, 8080 };
static const uint16_t TCP_PORTS[] = { 80, 8080 };
static const uint16_t UDP_SOURCE_PORTS[] = { 40001, 40002, 40003 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

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

static uint16_t internet_checksum(const void *data, size_t size)
{
	const uint16_t *words = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < size / 2; i++)
		sum += words[i];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
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

static void send_datagrams(int family, uint16_t source_port)
{
	static const char text[] = "hello from ebpf-dev\n";
	struct address from = make_address(family, "0.0.0.0", "::", source_port);
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)!bind(fd, (struct sockaddr *)&from.data, from.size);
	for (size_t i = 0; i < COUNT(UDP_PORTS); i++) {
		struct address to = target(family, UDP_PORTS[i]);

		send_to(fd, &to, text, sizeof(text) - 1);
	}
	close(fd);
}

static void set_deadline(int fd)
{
	struct timeval limit = { .tv_usec = GIVE_UP_MICROSECONDS };

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* of connect too */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static void request_page(int family, uint16_t port)
{
	static const char request[] = "GET / HTTP/1.0\r\nHost: ebpf-dev\r\n\r\n";
	struct address to = target(family, port);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[512];

	set_deadline(fd);
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
	for (size_t i = 0; i < COUNT(TCP_PORTS); i++)
		request_page(family, TCP_PORTS[i]);
}

void traffic_send_forever(void)
{
	for (uint16_t sequence = 1;; sequence++) {
		send_round(AF_INET, sequence);
		send_round(AF_INET6, sequence);
		usleep(ROUND_MICROSECONDS);
	}
}

/* An IPv6 socket that takes IPv4 too. */
static int bound_socket(int type, uint16_t port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)))
		_exit(1);
	return fd;
}

static void answer_datagram(int fd)
{
	struct address from = { .size = sizeof(from.data) };
	char data[2048];
	ssize_t size = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from.data, &from.size);

	if (size > 0)
		send_to(fd, &from, data, size);
}

static void answer_page(int listener)
{
	static const char page[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char request[1024];

	if (fd < 0)
		return;
	set_deadline(fd);
	if (read(fd, request, sizeof(request)) > 0)
		send(fd, page, sizeof(page) - 1, MSG_NOSIGNAL);
	close(fd);
}

void traffic_answer_forever(void)
{
	struct pollfd fds[COUNT(UDP_PORTS) + COUNT(TCP_PORTS)];

	for (size_t i = 0; i < COUNT(fds); i++) {
		bool udp = i < COUNT(UDP_PORTS);
		uint16_t port = udp ? UDP_PORTS[i] : TCP_PORTS[i - COUNT(UDP_PORTS)];

		fds[i] = (struct pollfd){ bound_socket(udp ? SOCK_DGRAM : SOCK_STREAM, port), POLLIN, 0 };
		if (!udp)
			listen(fds[i].fd, 16);
	}
	for (;;) {
		poll(fds, COUNT(fds), -1);
		for (size_t i = 0; i < COUNT(fds); i++)
			if (fds[i].revents && i < COUNT(UDP_PORTS))
				answer_datagram(fds[i].fd);
			else if (fds[i].revents)
				answer_page(fds[i].fd);
	}
}
