#include "testbed/testbed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "testbed/traffic.h"
#include "util.h"

struct testbed {
	pid_t peer;		/* holds the second namespace */
	pid_t responder;	/* answers in ours */
	bool netkit;
	struct service services[SERVICE_COUNT];
	int peer_namespace;
	int channel;		/* one byte a step, both ways; its end ends the peer */
};

/* One ip process for the whole script: under emulation each start of a program costs tens of milliseconds. */
static int run_ip(const char *script)
{
	int input[2];
	int status = -1;
	pid_t pid;

	if (pipe2(input, O_CLOEXEC))
		return -errno;
	pid = fork_tied();
	if (pid == 0) {
		dup2(input[0], STDIN_FILENO);
		dup2(STDERR_FILENO, STDOUT_FILENO); /* stdout is for messages only */
		execlp("ip", "ip", "-batch", "-", (char *)NULL);
		_exit(127);
	}
	close(input[0]);
	write_all(input[1], script, strlen(script));
	close(input[1]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	return status == 0 ? 0 : -EIO;
}

static void set_feature(const char *device, uint32_t command, uint32_t on)
{
	struct ethtool_value value = { .cmd = command, .data = on };
	struct ifreq request = { .ifr_data = (char *)&value };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	if (ioctl(fd, SIOCETHTOOL, &request))
		message_log("note", "cannot change an offload of %s: %s", device, strerror(errno));
	close(fd);
}

/*
 * A veth leaves checksums to a card that never comes, which programs that rewrite packets would trip over. And it
 * takes frames sent back by XDP_TX only when its other end receives by NAPI, which GRO switches on.
 */
static void behave_like_a_card(const char *device)
{
	set_feature(device, ETHTOOL_STXCSUM, 0);
	set_feature(device, ETHTOOL_SGRO, 1);
}

static int make_pair(pid_t peer, bool netkit)
{
	/* A netkit device chooses its own hardware addresses. */
	const char *ours = netkit ? "" : "address " TESTBED_MAC, *theirs = netkit ? "" : "address " TESTBED_PEER_MAC;
	char script[512];

	snprintf(script, sizeof(script),
		 "link add " TESTBED_DEVICE " %s type %s peer name " TESTBED_PEER_DEVICE " %s netns %d\n"
		 "link set lo up\n"
		 "address add " TESTBED_IPV4 "/24 dev " TESTBED_DEVICE "\n"
		 "address add " TESTBED_IPV6 "/64 dev " TESTBED_DEVICE " nodad\n"
		 "link set " TESTBED_DEVICE " up\n",
		 ours, netkit ? "netkit" : "veth", theirs, (int)peer);
	return run_ip(script);
}

static int set_up_ours(struct testbed *testbed)
{
	int error;

	if (testbed->netkit && !make_pair(testbed->peer, true))
		return 0;
	testbed->netkit = false;
	error = make_pair(testbed->peer, false);
	if (!error)
		behave_like_a_card(TESTBED_DEVICE);
	return error;
}

static int set_up_peer(void)
{
	int error = run_ip("link set lo up\n"
			   "address add " TESTBED_PEER_IPV4 "/24 dev " TESTBED_PEER_DEVICE "\n"
			   "address add " TESTBED_PEER_IPV6 "/64 dev " TESTBED_PEER_DEVICE " nodad\n"
			   "link set " TESTBED_PEER_DEVICE " up\n"
			   "route add " TESTBED_SEGMENT_NETWORK "/64 via " TESTBED_IPV6 "\n");

	if (!error)
		behave_like_a_card(TESTBED_PEER_DEVICE);
	return error;
}

static bool tell(int channel)
{
	return write(channel, "", 1) == 1;
}

static bool await(int channel)
{
	char byte;

	return read(channel, &byte, 1) == 1;
}

/* The steps: it has its namespace; (we add the devices;) it set up its end; (programs are attached;) traffic. */
static void live_as_peer(int channel)
{
	if (unshare(CLONE_NEWNET) || !tell(channel) || !await(channel) || set_up_peer() || !tell(channel) ||
	    !await(channel))
		_exit(1);
	traffic_send_forever();
}

static pid_t start_peer(int *channel)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	pid = fork_tied();
	if (pid == 0) {
		close(ends[0]);
		live_as_peer(ends[1]);
	}
	close(ends[1]);
	*channel = ends[0];
	return pid;
}

static int open_namespace(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static pid_t start_responder(const struct service *services)
{
	pid_t pid = fork_tied();

	if (pid == 0)
		services_answer_forever(services);
	return pid;
}

static bool join(struct testbed *testbed)
{
	if (testbed->peer <= 0 || !await(testbed->channel))
		return false;
	testbed->peer_namespace = open_namespace(testbed->peer);
	if (set_up_ours(testbed) || !tell(testbed->channel) || !await(testbed->channel))
		return false;
	if (services_open(testbed->services))
		return false;
	testbed->responder = start_responder(testbed->services);
	return testbed->responder > 0;
}

static void announce(void)
{
	struct json *json = message_begin("testbed");

	json_put_string(json, "device", TESTBED_DEVICE);
	json_key(json, "addresses");
	json_open(json, '[');
	json_string(json, TESTBED_IPV4);
	json_string(json, TESTBED_IPV6);
	json_close(json, ']');
	json_key(json, "peer_addresses");
	json_open(json, '[');
	json_string(json, TESTBED_PEER_IPV4);
	json_string(json, TESTBED_PEER_IPV6);
	json_close(json, ']');
	message_end();
}

struct testbed *testbed_create(bool netkit)
{
	struct testbed *testbed = calloc(1, sizeof(*testbed));

	if (!testbed)
		return NULL;
	testbed->channel = testbed->peer_namespace = -1;
	testbed->netkit = netkit;
	if (unshare(CLONE_NEWNET)) {
		message_log("warning", "cannot make a network namespace: %s", strerror(errno));
		free(testbed);
		return NULL;
	}
	testbed->peer = start_peer(&testbed->channel);
	if (!join(testbed)) {
		message_log("warning", "cannot set up the veth pair of the testbed (is iproute2 installed?)");
		testbed_destroy(testbed);
		return NULL;
	}
	announce();
	return testbed;
}

void testbed_start_traffic(struct testbed *testbed)
{
	tell(testbed->channel);
}

int testbed_peer_namespace(const struct testbed *testbed)
{
	return testbed->peer_namespace;
}

bool testbed_is_netkit(const struct testbed *testbed)
{
	return testbed->netkit;
}

const struct service *testbed_services(const struct testbed *testbed)
{
	return testbed->services;
}

static void stop_child(pid_t pid)
{
	if (pid > 0 && !kill(pid, SIGKILL))
		waitpid(pid, NULL, 0);
}

void testbed_destroy(struct testbed *testbed)
{
	if (!testbed)
		return;
	stop_child(testbed->peer);
	stop_child(testbed->responder);
	services_close(testbed->services);
	close(testbed->channel);
	close(testbed->peer_namespace);
	free(testbed);
}
