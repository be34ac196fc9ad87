/* XDP programs that redirect through maps which nobody but the loader fills. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} processors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

SEC("xdp.frags")
int redirects(struct xdp_md *ctx)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (ethernet->h_proto == bpf_htons(ETH_P_8021Q))
		return bpf_redirect_map(&devices, 0, XDP_PASS);
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		return bpf_redirect_map(&processors, 0, XDP_ABORTED);
	return bpf_redirect_map(&xsks, 0, XDP_PASS);
}

SEC("xdp/ebpf0")
int second(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp.frags/devmap")
int leaves_by_device(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp.frags/cpumap")
int arrives_on_processor(struct xdp_md *ctx)
{
	return XDP_PASS;
}
