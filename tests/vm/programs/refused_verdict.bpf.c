#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("cgroup_skb/ingress")
int refused(struct __sk_buff *skb)
{
	return 7; /* refused here */
}
