/* Section names that libbpf does not know: the type is in what they begin with, or in the context. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("xdp_pass1")
int by_prefix(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("prog")
int by_context(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("classifier/first")
int classifier(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("my_filter")
int by_skb(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("socket1")
int filter(struct __sk_buff *skb)
{
	return skb->len;
}

SEC("sockops_x")
int operations(struct bpf_sock_ops *ops)
{
	return 1;
}

SEC("cgroup/guard")
int guard_bind6(struct bpf_sock_addr *address)
{
	return 1;
}

SEC("perf_event/type=1,frequency=9")
int sample(struct bpf_perf_event_data *ctx)
{
	return 0;
}
