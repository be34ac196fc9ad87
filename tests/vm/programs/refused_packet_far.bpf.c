#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("xdp")
int refused(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;
	unsigned char *end = (void *)(long)ctx->data_end;
	__u32 at;

	if (data + 4 > end)
		return XDP_PASS;
	at = *(__u32 *)data;
	if (data + at + 1 > end)
		return XDP_PASS;
	return data[at] ? XDP_PASS : XDP_DROP; /* refused here */
}
