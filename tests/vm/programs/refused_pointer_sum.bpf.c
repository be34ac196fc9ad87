#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("xdp")
int refused(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	long sum;

	asm volatile("%0 = %1; %0 += %2" : "=r"(sum) : "r"(data), "r"(ctx)); /* refused here */
	return sum;
}
