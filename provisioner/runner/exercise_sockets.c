#include "exercises.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_BYTES 20000 /* several segments, and still not more than socket buffers hold */

void exercise_names(void)
{
	struct addrinfo *found;

	if (!getaddrinfo("localhost", "80", NULL, &found))
		freeaddrinfo(found);
	gethostbyname("localhost");
}

union any_address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
	struct sockaddr_un local;
};

static socklen_t loopback(union any_address *address, int family, uint16_t port)
{
	memset(address, 0, sizeof(*address));
	address->any.sa_family = family;
	if (family == AF_INET) {
		address->ipv4.sin_port = htons(port);
		address->ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(address->ipv4);
	}
	address->ipv6.sin6_port = htons(port);
	address->ipv6.sin6_addr = in6addr_loopback;
	return sizeof(address->ipv6);
}

/* A socket that waits for nobody who was silenced. */
static int open_socket(int family, int type, int protocol)
{
	struct timeval limit = { .tv_usec = 200000 };
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static void receive(int fd, size_t wanted)
{
	char data[MESSAGE_BYTES];
	ssize_t size;

	while (wanted && (size = recv(fd, data, wanted < sizeof(data) ? wanted : sizeof(data), 0)) > 0)
		wanted -= size;
}

static void speak(int client, int server)
{
	static const char text[MESSAGE_BYTES] = "hello from ebpf-dev\n";

	send(client, text, sizeof(text), MSG_NOSIGNAL);
	receive(server, sizeof(text));
	send(server, text, 100, MSG_NOSIGNAL);
	receive(client, 100);
	shutdown(client, SHUT_WR);
}

/* Both ends in one process: the kernel accepts before the server does. */
static void converse(int family, union any_address *address, socklen_t size)
{
	int listener = open_socket(family, SOCK_STREAM, 0);
	int client = open_socket(family, SOCK_STREAM, 0);
	int server;

	if (!bind(listener, &address->any, size) && !listen(listener, 1) &&
	    !getsockname(listener, &address->any, &size) && !connect(client, &address->any, size)) {
		server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (server >= 0)
			speak(client, server);
		close(server);
	}
	close(client);
	close(listener);
}

static void be_refused(int family)
{
	union any_address address;
	socklen_t size = loopback(&address, family, 1); /* tcpmux, which nobody serves */
	int fd = open_socket(family, SOCK_STREAM, 0);

	(void)!connect(fd, &address.any, size);
	close(fd);
}

static void exchange_datagrams(int family)
{
	union any_address address;
	socklen_t size = loopback(&address, family, 0);
	int receiver = open_socket(family, SOCK_DGRAM, 0);
	int sender = open_socket(family, SOCK_DGRAM, 0);

	if (!bind(receiver, &address.any, size) && !getsockname(receiver, &address.any, &size)) {
		sendto(sender, "hello\n", 6, 0, &address.any, size);
		receive(receiver, 6);
	}
	close(sender);
	close(receiver);
}

static void ping_loopback(int family)
{
	/* Sent with a number and data of nothing but zeros; the kernel sums up ICMPv6 itself. */
	struct icmphdr echo = { .type = ICMP_ECHO, .checksum = htons(0xf7ff) };
	struct icmp6_hdr echo6 = { .icmp6_type = ICMP6_ECHO_REQUEST };
	union any_address address;
	socklen_t size = loopback(&address, family, 0);
	int fd = open_socket(family, SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);

	sendto(fd, family == AF_INET ? (void *)&echo : (void *)&echo6, sizeof(echo), 0, &address.any, size);
	close(fd);
}

static void converse_locally(void)
{
	union any_address address = { .local = { AF_UNIX, "socket" } };
	int pair[2];

	converse(AF_UNIX, &address, sizeof(address.local));
	unlink("socket");
	if (!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair)) {
		send(pair[0], "hello\n", 6, 0);
		receive(pair[1], 6);
		close(pair[0]);
		close(pair[1]);
	}
}

static void list_interfaces(void)
{
	struct ifaddrs *addresses;
	struct ifreq request = { .ifr_name = "lo" };
	int fd = open_socket(AF_INET, SOCK_DGRAM, 0);

	if (!getifaddrs(&addresses)) /* by netlink */
		freeifaddrs(addresses);
	ioctl(fd, SIOCGIFFLAGS, &request);
	close(fd);
}

void exercise_sockets(void)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < 2; i++) {
		union any_address address;
		socklen_t size = loopback(&address, families[i], 0);

		converse(families[i], &address, size);
		be_refused(families[i]);
		exchange_datagrams(families[i]);
		ping_loopback(families[i]);
	}
	converse_locally();
	list_interfaces();
}
