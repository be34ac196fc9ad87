#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__attribute__((noinline)) void tell(__u32 queue)
{
	bpf_printk("queue %u", queue);
}

SEC("xdp")
int refused(struct xdp_md *ctx)
{
	tell(ctx->rx_queue_index);
	return XDP_PASS;
}
