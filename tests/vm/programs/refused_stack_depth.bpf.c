#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

static __attribute__((noinline)) int inner(int at)
{
	volatile char copy[300] = {};

	copy[at & 255] = 1;
	return copy[(at + 1) & 255];
}

SEC("socket")
int refused(struct __sk_buff *skb)
{
	volatile char text[300] = {};

	text[skb->len & 255] = 1;
	return inner(skb->mark) + text[skb->mark & 255];
}
