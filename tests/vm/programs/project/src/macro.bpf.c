/* BTF, and so vmlinux.h, holds no macros. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("tc")
int on_packet(struct __sk_buff *skb)
{
	return skb->protocol == ETH_P_IP;
}

char LICENSE[] SEC("license") = "GPL";
