#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("socket")
int refused(struct __sk_buff *skb)
{
	asm volatile("r0 = 0; exit; r0 = 1;");
	return 0;
}
