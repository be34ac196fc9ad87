// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * xdp-counter - count the packets that arrive, by protocol.
 *
 * An XDP program sees each frame before the network stack has made anything of it:
 * raw bytes between data and data_end. It answers what shall become of the frame;
 * this one always says XDP_PASS, go on as if I were not there.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* Macros are not in BTF and so not in vmlinux.h: these are from linux/if_ether.h and linux/in6.h. */
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_IPV6 0x86dd
#define IPPROTO_ICMPV6 58

enum packet_kind {
	PACKET_OTHER,
	PACKET_ARP,
	PACKET_ICMP,
	PACKET_TCP,
	PACKET_UDP,
};

struct counters {
	__u64 packets;
	__u64 bytes;
};

/* PERCPU: each CPU has counters of its own, so nobody waits and nothing needs to be atomic. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 8);
	__type(key, enum packet_kind);
	__type(value, struct counters);
} traffic SEC(".maps");

static enum packet_kind kind_of_protocol(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return PACKET_ICMP;
	case IPPROTO_TCP:
		return PACKET_TCP;
	case IPPROTO_UDP:
		return PACKET_UDP;
	default:
		return PACKET_OTHER;
	}
}

/*
 * Each header must be compared with data_end before it is read. This is not politeness:
 * the verifier refuses a program with a path on which the comparison is missing.
 */
static enum packet_kind kind_of_frame(void *data, void *data_end)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return PACKET_OTHER;

	switch (bpf_ntohs(eth->h_proto)) { /* the network is big-endian */
	case ETH_P_ARP:
		return PACKET_ARP;
	case ETH_P_IP: {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > data_end)
			return PACKET_OTHER;
		return kind_of_protocol(ip->protocol);
	}
	case ETH_P_IPV6: {
		struct ipv6hdr *ip6 = (void *)(eth + 1);

		if ((void *)(ip6 + 1) > data_end)
			return PACKET_OTHER;
		return kind_of_protocol(ip6->nexthdr);
	}
	default:
		return PACKET_OTHER;
	}
}

SEC("xdp")
int xdp_counter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	enum packet_kind kind = kind_of_frame(data, data_end);
	struct counters *counters = bpf_map_lookup_elem(&traffic, &kind);

	if (counters) {
		counters->packets++;
		counters->bytes += data_end - data;
	} else { /* the first of its kind */
		struct counters first = { .packets = 1, .bytes = data_end - data };

		bpf_map_update_elem(&traffic, &kind, &first, BPF_ANY);
	}
	return XDP_PASS;
}
