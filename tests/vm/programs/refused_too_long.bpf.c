#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("socket")
int refused(struct __sk_buff *skb)
{
	__u32 sum = 0;

	for (int i = 0; i < 400000; i++)
		sum += bpf_get_prandom_u32();
	return sum;
}
