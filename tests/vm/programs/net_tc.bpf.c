/* The ways to sit on a device behind XDP: tc's old and new section names, and tcx in the order of the file. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

int order_kept, order_broken, seen_by_first;

SEC("tcx/ingress")
int first(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&seen_by_first, 1);
	return -1; /* TCX_NEXT */
}

SEC("tcx/ingress")
int second(struct __sk_buff *skb)
{
	if (seen_by_first > order_kept)
		__sync_fetch_and_add(&order_kept, 1);
	else
		order_broken = 1;
	return 0; /* TCX_PASS */
}

SEC("classifier/egress/another")
int classifies(void *skb) /* not the context's own type: the kernel does not trust it */
{
	return TC_ACT_UNSPEC;
}

SEC("tc")
int ends_egress(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("action/egress")
int comes_too_late(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}
