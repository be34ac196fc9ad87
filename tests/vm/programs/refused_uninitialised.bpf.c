#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("socket")
int refused(struct __sk_buff *skb)
{
	int length;

	return length; /* refused here */
}
