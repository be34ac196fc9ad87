/* Both sides of a netkit pair. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("netkit/primary")
int sent_by_us(struct __sk_buff *skb)
{
	return 0; /* NETKIT_PASS */
}

SEC("netkit/peer")
int sent_by_peer(struct __sk_buff *skb)
{
	return -1; /* NETKIT_NEXT */
}
