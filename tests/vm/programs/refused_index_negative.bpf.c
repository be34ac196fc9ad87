#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct table { __u32 cell[16]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct table);
} tables SEC(".maps");

SEC("socket")
int refused(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct table *table = bpf_map_lookup_elem(&tables, &key);
	long at = (int)skb->mark;

	if (!table || at >= 16)
		return 0;
	return table->cell[at]; /* refused here */
}
