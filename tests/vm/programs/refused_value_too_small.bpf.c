#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("xdp")
int refused(struct xdp_md *ctx)
{
	__u32 key = 0;
	void *count = bpf_map_lookup_elem(&counts, &key);

	if (count)
		bpf_xdp_load_bytes(ctx, 0, count, 14); /* refused here */
	return XDP_PASS;
}
