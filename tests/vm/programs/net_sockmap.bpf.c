/* Programs of a SOCKMAP, which needs a parser, a verdict and sockets to do anything. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} receiving SEC(".maps");

struct key {
	__u32 addresses[2], ports[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, __u64);
} sending SEC(".maps");

SEC("sk_skb/stream_parser")
int parses(struct __sk_buff *skb)
{
	return skb->len;
}

SEC("sk_skb/stream_verdict")
int hands_over(struct __sk_buff *skb)
{
	return bpf_sk_redirect_map(skb, &receiving, 1, 0);
}

SEC("sk_msg")
int sends(struct sk_msg_md *msg)
{
	struct key key = {};

	return bpf_msg_redirect_hash(msg, &sending, &key, BPF_F_INGRESS);
}
