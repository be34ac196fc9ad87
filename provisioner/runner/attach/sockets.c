#include "attach/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach/sockmap.h"
#include "testbed/testbed.h"
#include "util.h"

/* Keeps packets flowing through the flow dissector. */
static int fanout_socket = -1;

/* A socket that sees every frame of the device, in both directions; or a negative errno. */
static int open_packet_socket(const struct run *run)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = run->device_index };
	/* No protocol yet: it must not gather what other devices carry. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int attach_socket_filter(struct run *run, struct program *program)
{
	int program_fd = bpf_program__fd(program->bpf);
	char name[IF_NAMESIZE] = "?";

	if_indextoname(run->device_index, name);
	snprintf(program->target, sizeof(program->target), "packet socket on %s", name);
	program->link_fd = open_packet_socket(run);
	if (program->link_fd < 0)
		return program->link_fd;
	if (setsockopt(program->link_fd, SOL_SOCKET, SO_ATTACH_BPF, &program_fd, sizeof(program_fd)))
		return -errno;
	return 0;
}

static int attach_to_namespace(struct program *program)
{
	int namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int error;

	snprintf(program->target, sizeof(program->target), "network namespace");
	program->link = bpf_program__attach_netns(program->bpf, namespace);
	error = program->link ? 0 : -errno;
	close(namespace);
	return error;
}

static bool holds_sockets(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_REUSEPORT_SOCKARRAY || is_sockmap(map);
}

/*
 * Sockets to choose from, in the order of the services. Left out are those that the map has no room for or that are
 * in another one already.
 */
static void fill_with_services(const struct run *run, const struct bpf_map *map)
{
	const struct service *services = testbed_services(run->testbed);

	for (__u32 i = 0; i < SERVICE_COUNT * SERVICE_SOCKETS; i++)
		sockmap_put(map, i, services[i / SERVICE_SOCKETS].sockets[i % SERVICE_SOCKETS]);
}

static void offer_services(const struct run *run, const struct program *program)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, run->object)
		if (run->testbed && holds_sockets(map) && program_uses_map(program, map))
			fill_with_services(run, map);
}

int attach_sk_lookup(struct run *run, struct program *program)
{
	offer_services(run, program);
	return attach_to_namespace(program);
}

/*
 * The kernel dissects a flow only when somebody wants a hash of it: here a packet socket that is alone in a group
 * among whose members it would have to choose by hash.
 */
static int want_hashes(const struct run *run)
{
	int mode = PACKET_FANOUT_HASH << 16;

	fanout_socket = open_packet_socket(run);
	if (fanout_socket < 0)
		return fanout_socket;
	return setsockopt(fanout_socket, SOL_PACKET, PACKET_FANOUT, &mode, sizeof(mode)) ? -errno : 0;
}

int attach_flow_dissector(struct run *run, struct program *program)
{
	int error = attach_to_namespace(program);

	return error ? error : want_hashes(run);
}

int attach_sk_reuseport(struct run *run, struct program *program)
{
	int program_fd = bpf_program__fd(program->bpf);
	const struct service *services;

	if (!run->testbed) {
		program_set(program, PROGRAM_FAILED, "it attaches to sockets, and only the testbed has some: "
			    "leave the device away");
		return 0;
	}
	offer_services(run, program);
	services = testbed_services(run->testbed);
	snprintf(program->target, sizeof(program->target), "listeners in pairs, TCP and UDP");
	/* One socket stands for its whole group. */
	for (size_t i = 0; i < SERVICE_COUNT; i++)
		if (setsockopt(services[i].sockets[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program_fd,
			       sizeof(program_fd)))
			return -errno;
	return 0;
}

#if HAVE_LIBBPF(1, 3)
/* Words in a program's name or section that tell where it belongs; it is for incoming packets otherwise. */
static const struct {
	const char *word;
	__u32 hook;
} NETFILTER_HOOKS[] = {
	{ "pre_routing", NF_INET_PRE_ROUTING },	  { "prerouting", NF_INET_PRE_ROUTING },
	{ "post_routing", NF_INET_POST_ROUTING }, { "postrouting", NF_INET_POST_ROUTING },
	{ "local_out", NF_INET_LOCAL_OUT },	  { "output", NF_INET_LOCAL_OUT },
	{ "egress", NF_INET_LOCAL_OUT },	  { "forward", NF_INET_FORWARD },
};

static const char *const NETFILTER_HOOK_NAMES[] = { "PRE_ROUTING", "LOCAL_IN", "FORWARD", "LOCAL_OUT",
						    "POST_ROUTING" };

static __u32 netfilter_hook(const struct program *program)
{
	for (size_t i = 0; i < COUNT(NETFILTER_HOOKS); i++)
		if (strstr(program->section, NETFILTER_HOOKS[i].word) ||
		    strstr(program->name, NETFILTER_HOOKS[i].word))
			return NETFILTER_HOOKS[i].hook;
	return NF_INET_LOCAL_IN;
}

int attach_netfilter(struct run *run, struct program *program)
{
	static __s32 priority; /* must differ between programs on one hook; rising keeps their order in the file */
	LIBBPF_OPTS(bpf_netfilter_opts, opts, .pf = NFPROTO_IPV4, .hooknum = netfilter_hook(program),
		    .priority = priority++);

	(void)run;
	if (strstr(program->section, "v6") || strstr(program->name, "v6"))
		opts.pf = NFPROTO_IPV6;
	snprintf(program->target, sizeof(program->target), "%s %s", opts.pf == NFPROTO_IPV6 ? "IPv6" : "IPv4",
		 NETFILTER_HOOK_NAMES[opts.hooknum]);
	program->link = bpf_program__attach_netfilter(program->bpf, &opts);
	return program->link ? 0 : -errno;
}
#endif

void sockets_detach(void)
{
	if (fanout_socket >= 0)
		close(fanout_socket);
	fanout_socket = -1;
}
