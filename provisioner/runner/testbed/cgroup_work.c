#include "testbed/cgroup_work.h"

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "testbed/loopback.h"

#define WORK_ROUND_MICROSECONDS 1000000

static const uint16_t WORK_TCP_PORTS[] = { 80, 443, 8080 };
static const uint16_t WORK_UDP_PORTS[] = { 53, 1234 };

static const char *const READ_SYSCTLS[] = { "kernel/hostname", "kernel/ostype", "kernel/pid_max",
					    "net/ipv4/ip_forward", "net/ipv4/tcp_mem" };
/* Belongs to the network namespace, which is our own, and is written with what was read. */
static const char WRITTEN_SYSCTL[] = "net/ipv4/ip_default_ttl";

static const char *const OPENED_DEVICES[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/urandom" };

static void use_sysctl(const char *name, int mode)
{
	char path[128];
	char value[128];
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	fd = open(path, mode | O_CLOEXEC);
	size = read(fd, value, sizeof(value));
	if (size > 0 && mode == O_RDWR)
		(void)!pwrite(fd, value, size, 0);
	close(fd);
}

static void use_sysctls(void)
{
	for (size_t i = 0; i < sizeof(READ_SYSCTLS) / sizeof(READ_SYSCTLS[0]); i++)
		use_sysctl(READ_SYSCTLS[i], O_RDONLY);
	use_sysctl(WRITTEN_SYSCTL, O_RDWR);
}

static void use_devices(void)
{
	static const char node[] = "/tmp/null";

	for (size_t i = 0; i < sizeof(OPENED_DEVICES) / sizeof(OPENED_DEVICES[0]); i++) {
		int fd = open(OPENED_DEVICES[i], O_RDWR | O_CLOEXEC);

		(void)!write(fd, "", 1);
		close(fd);
	}
	if (!mknod(node, S_IFCHR | 0600, makedev(1, 3)))
		unlink(node);
}

static void use_network(int family)
{
	for (size_t i = 0; i < sizeof(WORK_TCP_PORTS) / sizeof(WORK_TCP_PORTS[0]); i++)
		loopback_tcp(family, WORK_TCP_PORTS[i], NULL);
	for (size_t i = 0; i < sizeof(WORK_UDP_PORTS) / sizeof(WORK_UDP_PORTS[0]); i++)
		loopback_udp(family, WORK_UDP_PORTS[i]);
	loopback_ping(family);
}

/* A /tmp of our own, which vanishes with us, for the device node. */
static void hide_tmp(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/tmp", "tmpfs", 0, NULL))
		_exit(1);
}

void cgroup_work_forever(void)
{
	hide_tmp();
	if (loopback_enter())
		_exit(1);
	for (;;) {
		use_sysctls();
		use_devices();
		loopback_unix();
		use_network(AF_INET); /* last, as a program that drops everything makes it slow */
		use_network(AF_INET6);
		usleep(WORK_ROUND_MICROSECONDS);
	}
}
