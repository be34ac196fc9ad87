#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tc")
int refused(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), -1, 0);

	if (!socket)
		return TC_ACT_OK;
	bpf_sk_release(socket);
	return socket->src_port == 22 ? TC_ACT_SHOT : TC_ACT_OK; /* refused here */
}
