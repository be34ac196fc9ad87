#include "testbed/services.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

const uint16_t HTTP_PORTS[2] = { 80, 8080 };
const uint16_t ECHO_PORTS[3] = { 53, 1234, 8080 };

/* An IPv6 socket that takes IPv4 too; or a negative errno. */
static int open_service_socket(int type, uint16_t port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
	int on = 1, error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (!bind(fd, (struct sockaddr *)&any, sizeof(any)) && (type == SOCK_DGRAM || !listen(fd, 16)))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static int open_service(struct service *service)
{
	for (size_t i = 0; i < SERVICE_SOCKETS; i++) {
		service->sockets[i] = open_service_socket(service->type, service->port);
		if (service->sockets[i] < 0)
			return service->sockets[i];
	}
	return 0;
}

int services_open(struct service *services)
{
	int error = 0;

	for (size_t i = 0; i < SERVICE_COUNT && !error; i++) {
		bool tcp = i < COUNT(HTTP_PORTS);

		services[i] = (struct service){ .type = tcp ? SOCK_STREAM : SOCK_DGRAM,
						.port = tcp ? HTTP_PORTS[i] : ECHO_PORTS[i - COUNT(HTTP_PORTS)] };
		error = open_service(&services[i]);
	}
	return error;
}

static void echo_datagram(int fd)
{
	struct sockaddr_storage from;
	socklen_t from_size = sizeof(from);
	char data[2048];
	ssize_t size = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &from_size);

	if (size > 0)
		(void)!sendto(fd, data, size, 0, (struct sockaddr *)&from, from_size);
}

static void answer_page(int listener)
{
	static const char page[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char request[1024];

	if (fd < 0)
		return;
	set_socket_deadline(fd);
	if (read(fd, request, sizeof(request)) > 0)
		send(fd, page, sizeof(page) - 1, MSG_NOSIGNAL);
	close(fd);
}

void services_answer_forever(const struct service *services)
{
	struct pollfd fds[SERVICE_COUNT * SERVICE_SOCKETS];

	for (size_t i = 0; i < COUNT(fds); i++)
		fds[i] = (struct pollfd){ services[i / SERVICE_SOCKETS].sockets[i % SERVICE_SOCKETS], POLLIN, 0 };
	for (;;) {
		poll(fds, COUNT(fds), -1);
		for (size_t i = 0; i < COUNT(fds); i++)
			if (fds[i].revents && services[i / SERVICE_SOCKETS].type == SOCK_DGRAM)
				echo_datagram(fds[i].fd);
			else if (fds[i].revents)
				answer_page(fds[i].fd);
	}
}

void services_close(const struct service *services)
{
	for (size_t i = 0; i < SERVICE_COUNT; i++)
		for (size_t k = 0; k < SERVICE_SOCKETS; k++)
			if (services[i].sockets[k] > 0)
				close(services[i].sockets[k]);
}
