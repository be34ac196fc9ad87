#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

const volatile int limit = 7;

SEC("socket")
int refused(struct __sk_buff *skb)
{
	*(volatile int *)&limit = 8; /* refused here */
	return limit;
}
