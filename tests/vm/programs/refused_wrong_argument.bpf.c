#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("socket")
int refused(struct __sk_buff *skb)
{
	void *key = (void *)(long)skb->len;

	return bpf_map_lookup_elem(&counts, key) != 0; /* refused here */
}
