// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * tc-flow - packets and bytes of each conversation, in both directions.
 *
 * XDP sees only what arrives; the traffic control hooks see what arrives (ingress) and
 * what leaves (egress). Two programs, one for each, share one map. The key is written
 * from this side's view, local and remote, so that a question and its answer meet in
 * one entry.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* Macros, which BTF does not hold: from linux/if_ether.h and linux/pkt_cls.h. */
#define ETH_HLEN 14
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define TC_ACT_UNSPEC (-1) /* no opinion: whoever comes next decides */

#define IP_LEN 16 /* of an IPv6 address */
#define IPV4_AT 12 /* where in it an IPv4 address lies */
#define MAX_FLOWS 4096

/* The key is compared byte by byte, so there must be no hole in it that nobody fills. */
struct flow {
	__u8 local_ip[IP_LEN]; /* an IPv4 address as ::ffff:192.0.2.1: only the last four bytes are its own */
	__u8 remote_ip[IP_LEN];
	__u16 local_port; /* 0 when the protocol has no ports */
	__u16 remote_port;
	__u32 protocol; /* 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6 */
};

struct counters {
	__u64 in_packets;
	__u64 in_bytes;
	__u64 out_packets;
	__u64 out_bytes;
};

/* LRU: when it is full, the flow that has been quiet the longest makes room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct flow);
	__type(value, struct counters);
} flows SEC(".maps");

/* What a packet says about itself, before we know which end is ours. */
struct packet {
	__u8 source_ip[IP_LEN];
	__u8 dest_ip[IP_LEN];
	__u32 protocol;
	__u32 l4_offset;
};

struct ports {
	__be16 source;
	__be16 dest;
};

static void set_ipv4(__u8 *ip, __be32 ipv4)
{
	ip[IPV4_AT - 2] = 0xff; /* the bytes before are 0 already */
	ip[IPV4_AT - 1] = 0xff;
	__builtin_memcpy(ip + IPV4_AT, &ipv4, sizeof(ipv4));
}

/*
 * bpf_skb_load_bytes() copies out of the packet and checks the bounds itself. It costs a
 * little more than a pointer into the packet (see xdp-counter), and is easier to get right.
 */
static int read_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return -1;
	set_ipv4(packet->source_ip, ip.saddr);
	set_ipv4(packet->dest_ip, ip.daddr);
	packet->protocol = ip.protocol;
	packet->l4_offset = ETH_HLEN + ip.ihl * 4;
	return 0;
}

static int read_ipv6(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return -1;
	__builtin_memcpy(packet->source_ip, &ip.saddr, IP_LEN);
	__builtin_memcpy(packet->dest_ip, &ip.daddr, IP_LEN);
	packet->protocol = ip.nexthdr;
	packet->l4_offset = ETH_HLEN + sizeof(ip);
	return 0;
}

static int read_packet(struct __sk_buff *skb, struct packet *packet)
{
	switch (bpf_ntohs(skb->protocol)) {
	case ETH_P_IP:
		return read_ipv4(skb, packet);
	case ETH_P_IPV6:
		return read_ipv6(skb, packet);
	default: /* ARP and the like */
		return -1;
	}
}

static void read_ports(struct __sk_buff *skb, const struct packet *packet, struct ports *ports)
{
	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return;
	/* TCP and UDP begin alike. When this fails, the ports stay 0. */
	bpf_skb_load_bytes(skb, packet->l4_offset, ports, sizeof(*ports));
}

static void announce(const struct flow *flow)
{
	__u16 here = flow->local_port, there = flow->remote_port;

	/* %pI4 and %pI6 take the address of an address. */
	if (flow->local_ip[IPV4_AT - 1] == 0xff && !flow->local_ip[0])
		bpf_printk("new flow: protocol %d, local %pI4:%d, remote %pI4:%d", flow->protocol,
			   flow->local_ip + IPV4_AT, here, flow->remote_ip + IPV4_AT, there);
	else
		bpf_printk("new flow: protocol %d, local [%pI6]:%d, remote [%pI6]:%d", flow->protocol,
			   flow->local_ip, here, flow->remote_ip, there);
}

/* The counters of a flow, made when this is its first packet; NULL when there is no room. */
static struct counters *find_counters(const struct flow *flow)
{
	struct counters none = {};
	struct counters *counters = bpf_map_lookup_elem(&flows, flow);

	if (counters)
		return counters;
	/* NOEXIST: if another CPU was quicker, its counters are the ones to use. */
	if (!bpf_map_update_elem(&flows, flow, &none, BPF_NOEXIST))
		announce(flow);
	return bpf_map_lookup_elem(&flows, flow);
}

/* Runs for each packet that arrives. An entry is shared by all CPUs, therefore the atomic additions. */
SEC("tc")
int flow_ingress(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow flow = {};
	struct ports ports = {};
	struct counters *counters;

	if (read_packet(skb, &packet))
		return TC_ACT_UNSPEC;
	read_ports(skb, &packet, &ports);

	/* It comes to us, so its destination is the local end. */
	__builtin_memcpy(flow.local_ip, packet.dest_ip, IP_LEN);
	__builtin_memcpy(flow.remote_ip, packet.source_ip, IP_LEN);
	flow.local_port = bpf_ntohs(ports.dest);
	flow.remote_port = bpf_ntohs(ports.source);
	flow.protocol = packet.protocol;

	counters = find_counters(&flow);
	if (counters) {
		__sync_fetch_and_add(&counters->in_packets, 1);
		__sync_fetch_and_add(&counters->in_bytes, skb->len);
	}
	return TC_ACT_UNSPEC;
}

/* Runs for each packet that leaves: the same, with the ends exchanged. */
SEC("tc")
int flow_egress(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow flow = {};
	struct ports ports = {};
	struct counters *counters;

	if (read_packet(skb, &packet))
		return TC_ACT_UNSPEC;
	read_ports(skb, &packet, &ports);

	__builtin_memcpy(flow.local_ip, packet.source_ip, IP_LEN);
	__builtin_memcpy(flow.remote_ip, packet.dest_ip, IP_LEN);
	flow.local_port = bpf_ntohs(ports.source);
	flow.remote_port = bpf_ntohs(ports.dest);
	flow.protocol = packet.protocol;

	counters = find_counters(&flow);
	if (counters) {
		__sync_fetch_and_add(&counters->out_packets, 1);
		__sync_fetch_and_add(&counters->out_bytes, skb->len);
	}
	return TC_ACT_UNSPEC;
}
