#include "testbed/exercises.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testbed/loopback.h"

void exercise_names(void)
{
	struct addrinfo *found;

	if (!getaddrinfo("localhost", "80", NULL, &found))
		freeaddrinfo(found);
	gethostbyname("localhost");
}

static void list_interfaces(void)
{
	struct ifaddrs *addresses;
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!getifaddrs(&addresses)) /* by netlink */
		freeifaddrs(addresses);
	ioctl(fd, SIOCGIFFLAGS, &request);
	close(fd);
}

void exercise_retransmission(void)
{
	loopback_overfull(AF_INET);
}

void exercise_sockets(void)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < 2; i++) {
		loopback_tcp(families[i], 0, NULL);
		loopback_refused(families[i]);
		loopback_udp(families[i], 0);
		loopback_ping(families[i]);
	}
	loopback_unix();
	list_interfaces();
}
