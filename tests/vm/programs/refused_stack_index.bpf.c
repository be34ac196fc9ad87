#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("socket")
int refused(struct __sk_buff *skb)
{
	char name[16] = {};

	bpf_get_current_comm(name, sizeof(name));
	return name[skb->len]; /* refused here */
}
