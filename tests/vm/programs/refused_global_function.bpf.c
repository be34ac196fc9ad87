#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct pair { __u32 a, b; };

__attribute__((noinline)) int sum(struct pair *pair)
{
	return pair->a + pair->b; /* refused here */
}

SEC("socket")
int refused(struct __sk_buff *skb)
{
	struct pair pair = { skb->len, skb->mark };

	return sum(&pair);
}
