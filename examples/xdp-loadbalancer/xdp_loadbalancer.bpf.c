// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * xdp-loadbalancer - the core of a layer 4 load balancer, in one file.
 *
 * Clients send to one virtual address (VIP). Each flow is given to one of several
 * backends: its frames get the backend's IP and MAC address, their checksums are put
 * right, and XDP_TX sends them out of the interface they came in by. Backends answer
 * through the balancer (it is their route to the clients), where the answer gets the
 * VIP as its source again, so that the client never sees who served it.
 *
 *          dst VIP                dst backend
 *   client --------> balancer --------------> backend
 *          <--------          <--------------
 *          src VIP                src backend
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define ETH_P_IP 0x0800
#define IP_MF_OR_OFFSET 0x3fff /* "more fragments", or not the first one */
#define MAX_FLOWS 16384
#define MAX_BACKENDS 4

#define IPV4(a, b, c, d) bpf_htonl((a) << 24 | (b) << 16 | (c) << 8 | (d))

struct backend {
	__be32 ip; /* 0: not in use */
	__u8 mac[6];
};

/* The configuration. const volatile keeps it in .rodata, which a loader may change until it loads us. */
const volatile __u32 vip = 0; /* 0xc0000201 is 192.0.2.1; 0 takes every address */
const volatile __u16 vip_port = 0; /* 0 takes every port */
const volatile struct backend backends[MAX_BACKENDS] = {
	{ IPV4(192, 0, 2, 11), { 0x02, 0, 0, 0, 0, 0x11 } },
	{ IPV4(192, 0, 2, 12), { 0x02, 0, 0, 0, 0, 0x12 } },
	{ IPV4(192, 0, 2, 13), { 0x02, 0, 0, 0, 0, 0x13 } },
};

/* What makes a flow: every packet with the same five values belongs to it. */
struct flow {
	__be32 source_ip;
	__be32 dest_ip;
	__be16 source_port;
	__be16 dest_port;
	__u32 protocol; /* 32 bits wide so that the key has no hole */
};

/* What to do with its packets. */
struct route {
	__be32 address; /* the new destination, or for answers the new source */
	__u8 mac[6]; /* the next hop */
	__u8 backend;
	bool answer;
};

struct stats {
	__u64 flows;
	__u64 packets;
	__u64 bytes;
};

/* Each flow has two entries, one for either direction. LRU: the quiet ones make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct flow);
	__type(value, struct route);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct stats);
} backend_stats SEC(".maps");

struct ports {
	__be16 source;
	__be16 dest;
};

/* Where things are in the packet; every pointer has been checked against its end. */
struct packet {
	struct ethhdr *eth;
	struct iphdr *ip;
	struct ports *ports;
	__sum16 *l4_check;
};

/* Fill in packet; -1 when it is none of ours: not TCP or UDP over IPv4, or only a piece of it. */
static __always_inline int parse(struct xdp_md *ctx, struct packet *packet)
{
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	void *l4;

	if ((void *)(ip + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP))
		return -1;
	if (eth->h_dest[0] & 1) /* broadcast and multicast are for everybody */
		return -1;
	if (ip->ihl < 5 || ip->frag_off & bpf_htons(IP_MF_OR_OFFSET))
		return -1;

	l4 = (void *)ip + ip->ihl * 4;
	if (ip->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > data_end)
			return -1;
		packet->l4_check = &tcp->check;
	} else if (ip->protocol == IPPROTO_UDP) {
		struct udphdr *udp = l4;

		if ((void *)(udp + 1) > data_end)
			return -1;
		packet->l4_check = &udp->check;
	} else {
		return -1;
	}

	packet->eth = eth;
	packet->ip = ip;
	packet->ports = l4; /* both headers begin with the ports */
	return 0;
}

static bool is_for_vip(const struct flow *flow)
{
	if (vip && flow->dest_ip != bpf_htonl(vip))
		return false;
	return !vip_port || flow->dest_port == bpf_htons(vip_port);
}

/* Spread the bits: a small change of the input changes half of the output (MurmurHash3's last step). */
static __u32 mix(__u32 hash)
{
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35;
	return hash ^ hash >> 16;
}

static __u32 hash_flow(const struct flow *flow)
{
	__u32 ports = (__u32)flow->source_port << 16 | flow->dest_port;

	return mix(flow->source_ip ^ mix(flow->dest_ip ^ mix(ports ^ flow->protocol)));
}

/*
 * Rendezvous hashing: each backend draws a number for this flow, the highest wins. No
 * table to keep, and taking a backend away moves the flows it had and no others.
 * Returns its index, or -1 when no backend is in use.
 */
static int pick_backend(const struct flow *flow)
{
	__u32 hash = hash_flow(flow), best = 0;
	int winner = -1;

	for (int i = 0; i < MAX_BACKENDS; i++) {
		__u32 draw = mix(hash ^ backends[i].ip);

		if (backends[i].ip && (winner < 0 || draw > best)) {
			winner = i;
			best = draw;
		}
	}
	return winner;
}

static void count(__u32 backend, __u64 new_flows, __u64 packets, __u64 bytes)
{
	struct stats *stats = bpf_map_lookup_elem(&backend_stats, &backend);

	if (!stats)
		return;
	stats->flows += new_flows; /* this CPU's own copy: no atomics needed */
	stats->packets += packets;
	stats->bytes += bytes;
}

/* Remember a new flow and the way back; its route is left in *route. -1: no backend for it. */
static __always_inline int begin_flow(const struct flow *flow, const struct packet *packet,
				      struct route *route)
{
	struct route back = { .address = flow->dest_ip, .answer = true };
	struct flow answer = { .protocol = flow->protocol };
	struct backend backend;
	int index = pick_backend(flow);

	if (index < 0 || index >= MAX_BACKENDS)
		return -1;
	backend = backends[index];

	route->address = backend.ip;
	route->backend = index;
	__builtin_memcpy(route->mac, backend.mac, sizeof(route->mac));
	bpf_map_update_elem(&flows, flow, route, BPF_ANY);

	answer.source_ip = backend.ip;
	answer.dest_ip = flow->source_ip;
	answer.source_port = flow->dest_port;
	answer.dest_port = flow->source_port;
	back.backend = index;
	__builtin_memcpy(back.mac, packet->eth->h_source, sizeof(back.mac));
	bpf_map_update_elem(&flows, &answer, &back, BPF_ANY);

	count(index, 1, 0, 0);
	bpf_printk("new %s flow %pI4:%d -> %pI4:%d goes to backend %d (%pI4)", /* %pI4 takes a pointer */
		   flow->protocol == IPPROTO_TCP ? "TCP" : "UDP",
		   &flow->source_ip, bpf_ntohs(flow->source_port),
		   &flow->dest_ip, bpf_ntohs(flow->dest_port), index, &backend.ip);
	return 0;
}

/* A checksum after one 32-bit word has changed, without reading the packet again (RFC 1624). */
static __sum16 update_checksum(__sum16 check, __be32 before, __be32 after)
{
	__u32 sum = (__u16)~check;

	sum += (__u16)~before + (__u16)(~before >> 16);
	sum += (__u16)after + (after >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* TCP and UDP sum up the IP addresses too, so both checksums change. */
static __always_inline void replace_address(const struct packet *packet, __be32 *address, __be32 after)
{
	__be32 before = *address;

	*address = after;
	packet->ip->check = update_checksum(packet->ip->check, before, after);

	if (packet->ip->protocol == IPPROTO_UDP && *packet->l4_check == 0)
		return; /* the sender made none */
	*packet->l4_check = update_checksum(*packet->l4_check, before, after);
	if (packet->ip->protocol == IPPROTO_UDP && *packet->l4_check == 0)
		*packet->l4_check = 0xffff; /* 0 would mean none; in this arithmetic both are zero */
}

static __always_inline void send_along(const struct packet *packet, const struct route *route)
{
	__be32 *address = route->answer ? &packet->ip->saddr : &packet->ip->daddr;

	replace_address(packet, address, route->address);
	/* It leaves by the interface it came in by, so its old destination MAC is our own. */
	__builtin_memcpy(packet->eth->h_source, packet->eth->h_dest, sizeof(packet->eth->h_source));
	__builtin_memcpy(packet->eth->h_dest, route->mac, sizeof(packet->eth->h_dest));
}

SEC("xdp")
int xdp_loadbalancer(struct xdp_md *ctx)
{
	struct packet packet;
	struct route route = {}, *known;
	struct flow flow = {};

	if (parse(ctx, &packet))
		return XDP_PASS;

	flow.source_ip = packet.ip->saddr;
	flow.dest_ip = packet.ip->daddr;
	flow.source_port = packet.ports->source;
	flow.dest_port = packet.ports->dest;
	flow.protocol = packet.ip->protocol;

	known = bpf_map_lookup_elem(&flows, &flow);
	if (known)
		route = *known;
	else if (!is_for_vip(&flow) || begin_flow(&flow, &packet, &route))
		return XDP_PASS;

	count(route.backend, 0, 1, ctx->data_end - ctx->data);
	send_along(&packet, &route);
	return XDP_TX;
}
