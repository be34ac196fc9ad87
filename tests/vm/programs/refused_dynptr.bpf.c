#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("socket")
int refused(struct __sk_buff *skb)
{
	struct bpf_dynptr dynptr;
	char word[8];

	return bpf_dynptr_read(word, sizeof(word), &dynptr, 0, 0); /* refused here */
}
