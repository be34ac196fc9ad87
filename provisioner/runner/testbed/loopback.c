#include "testbed/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MICROSECONDS 200000
#define SEGMENTS 4
#define SEGMENT_BYTES 4096
#define ECHO_BYTES 64 /* an ICMP header of 8 and the 56 that ping sends */

struct endpoint {
	struct sockaddr_storage data;
	socklen_t size;
};

static struct sockaddr *endpoint_of(struct endpoint *endpoint)
{
	return (struct sockaddr *)&endpoint->data;
}

static struct endpoint local_endpoint(int family, uint16_t port)
{
	struct endpoint endpoint = { .size = family == AF_INET ? sizeof(struct sockaddr_in) :
								 sizeof(struct sockaddr_in6) };

	if (family == AF_INET)
		*(struct sockaddr_in *)&endpoint.data = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
		};
	else
		*(struct sockaddr_in6 *)&endpoint.data = (struct sockaddr_in6){
			.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback
		};
	return endpoint;
}

/* The first byte of an abstract address is 0; it needs no file and vanishes with its socket. */
static struct endpoint unix_endpoint(const char *name)
{
	struct endpoint endpoint = {};
	struct sockaddr_un *address = (struct sockaddr_un *)&endpoint.data;

	address->sun_family = AF_UNIX;
	snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "%s", name);
	endpoint.size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
	return endpoint;
}

int loopback_enter(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int error = 0;
	int fd;

	if (unshare(CLONE_NEWNET))
		return -errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		error = -errno;
	close(fd);
	return error;
}

static int impatient_socket(int family, int type, int protocol)
{
	struct timeval limit = { .tv_usec = PATIENCE_MICROSECONDS };
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* of connect too */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)); /* of accept too */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return fd;
}

/* What programs on getsockopt and setsockopt like to look at. */
static void use_socket_options(int fd, int family)
{
	int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	int option = family == AF_INET ? IP_TOS : IPV6_TCLASS;
	char name[16];
	socklen_t size = sizeof(int);
	int value;

	getsockopt(fd, level, option, &value, &size);
	setsockopt(fd, level, option, &value, sizeof(value));
	getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &size);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));
	value = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value));
	size = sizeof(name);
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size);
}

static void send_and_receive(int from, int to)
{
	static char segment[SEGMENT_BYTES];

	send(from, segment, sizeof(segment), MSG_NOSIGNAL);
	recv(to, segment, sizeof(segment), MSG_WAITALL);
}

static void ask_names(int fd)
{
	struct endpoint found = { .size = sizeof(found.data) };

	getsockname(fd, endpoint_of(&found), &found.size);
	found.size = sizeof(found.data);
	getpeername(fd, endpoint_of(&found), &found.size);
}

static void talk_both_ways(int client, int server)
{
	for (int i = 0; i < SEGMENTS; i++) {
		send_and_receive(client, server);
		send_and_receive(server, client);
	}
	ask_names(client);
	ask_names(server);
}

static bool bind_to(int fd, struct endpoint *endpoint)
{
	return !bind(fd, endpoint_of(endpoint), endpoint->size) &&
	       !getsockname(fd, endpoint_of(endpoint), &endpoint->size); /* port 0 has become a free one */
}

/* Between a listener and a client that have everything but their connection. */
static void connect_and_talk(int listener, int client, struct endpoint *server)
{
	int accepted;

	if (!bind_to(listener, server) || listen(listener, SEGMENTS) ||
	    connect(client, endpoint_of(server), server->size))
		return;
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (accepted < 0)
		return;
	talk_both_ways(client, accepted);
	shutdown(client, SHUT_WR); /* so that the client, not the port, rests in TIME_WAIT */
	close(accepted);
}

void loopback_tcp(int family, uint16_t port, const char *congestion_control)
{
	struct endpoint server = local_endpoint(family, port);
	int listener = impatient_socket(family, SOCK_STREAM, 0);
	int client = impatient_socket(family, SOCK_STREAM, 0);

	if (congestion_control)
		setsockopt(client, IPPROTO_TCP, TCP_CONGESTION, congestion_control, strlen(congestion_control));
	use_socket_options(client, family);
	connect_and_talk(listener, client, &server);
	close(client);
	close(listener);
}

void loopback_refused(int family)
{
	struct endpoint server = local_endpoint(family, 1); /* tcpmux, which nobody serves */
	int fd = impatient_socket(family, SOCK_STREAM, 0);

	(void)!connect(fd, endpoint_of(&server), server.size);
	close(fd);
}

#define CLIENTS 3
#define FIRST_RETRANSMISSION_MICROSECONDS 1300000 /* TCP_TIMEOUT_INIT is 1 s */

void loopback_overfull(int family)
{
	struct endpoint server = local_endpoint(family, 0);
	int listener = impatient_socket(family, SOCK_STREAM, 0);
	int clients[CLIENTS];

	if (!bind_to(listener, &server) || listen(listener, 0)) {
		close(listener);
		return;
	}
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = impatient_socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(clients[i], endpoint_of(&server), server.size);
	}
	usleep(FIRST_RETRANSMISSION_MICROSECONDS);
	for (size_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	close(listener);
}

/* Returns false when nothing came, so that one silenced datagram is not waited for twice. */
static bool trade_datagrams(int client, int server, struct endpoint *to)
{
	static const char words[] = "hello from ebpf-dev\n";
	struct endpoint from = { .size = sizeof(from.data) };
	char data[sizeof(words)];

	sendto(client, words, sizeof(words), 0, endpoint_of(to), to->size);
	if (recvfrom(server, data, sizeof(data), 0, endpoint_of(&from), &from.size) < 0)
		return false;
	sendto(server, words, sizeof(words), 0, endpoint_of(&from), from.size);
	from.size = sizeof(from.data);
	return recvfrom(client, data, sizeof(data), 0, endpoint_of(&from), &from.size) >= 0;
}

void loopback_udp(int family, uint16_t port)
{
	struct endpoint to = local_endpoint(family, port);
	int server = impatient_socket(family, SOCK_DGRAM, 0);
	int client = impatient_socket(family, SOCK_DGRAM, 0);

	if (bind_to(server, &to) && trade_datagrams(client, server, &to) &&
	    !connect(client, endpoint_of(&to), to.size)) {
		send_and_receive(client, server);
		ask_names(client);
	}
	close(client);
	close(server);
}

/* The answer waits in the raw socket until that is closed. */
void loopback_ping(int family)
{
	/* All is 0 but the type, which gives this checksum (RFC 1071); for ICMPv6 the kernel computes it. */
	unsigned char echo_request[ECHO_BYTES] = { 8, 0, 0xf7, 0xff };
	struct endpoint to = local_endpoint(family, 0);
	int fd = impatient_socket(family, SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);

	if (family == AF_INET6)
		echo_request[0] = 128;
	sendto(fd, echo_request, sizeof(echo_request), 0, endpoint_of(&to), to.size);
	close(fd);
}

static void unix_stream(void)
{
	struct endpoint server = unix_endpoint("ebpf-dev-stream");
	int listener = impatient_socket(AF_UNIX, SOCK_STREAM, 0);
	int client = impatient_socket(AF_UNIX, SOCK_STREAM, 0);

	connect_and_talk(listener, client, &server);
	close(client);
	close(listener);
}

static void unix_datagrams(void)
{
	struct endpoint from = unix_endpoint("ebpf-dev-client"), to = unix_endpoint("ebpf-dev-server");
	int server = impatient_socket(AF_UNIX, SOCK_DGRAM, 0);
	int client = impatient_socket(AF_UNIX, SOCK_DGRAM, 0);

	if (bind_to(server, &to) && bind_to(client, &from))
		trade_datagrams(client, server, &to);
	close(client);
	close(server);
}

/* An open file goes along with the data. */
static void pass_a_descriptor(void)
{
	char byte = 'd', room[CMSG_SPACE(sizeof(int))] = {};
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	int ends[2], passed;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return;
	*rights = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(rights), &ends[0], sizeof(int));
	if (sendmsg(ends[0], &message, MSG_NOSIGNAL) == 1 && recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC) == 1 &&
	    message.msg_controllen) {
		memcpy(&passed, CMSG_DATA(rights), sizeof(int));
		close(passed);
	}
	close(ends[0]);
	close(ends[1]);
}

void loopback_unix(void)
{
	pass_a_descriptor();
	unix_stream();
	unix_datagrams();
}
