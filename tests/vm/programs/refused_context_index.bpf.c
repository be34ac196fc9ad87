#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("socket")
int refused(struct __sk_buff *skb)
{
	__u32 at = skb->len & 3;

	return skb->cb[at]; /* refused here */
}
