#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("socket")
int refused(struct __sk_buff *skb)
{
	volatile int stop = 0;

	while (!stop)
		;
	return 0;
}
