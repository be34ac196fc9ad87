/* Programs about a program: one replaces a function of it, others watch it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

int replaced, entered, left;

__attribute__((noinline)) int decide(struct xdp_md *ctx)
{
	volatile int verdict = XDP_ABORTED;

	return verdict;
}

SEC("xdp")
int asks(struct xdp_md *ctx)
{
	return decide(ctx);
}

SEC("freplace/decide")
int decides(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&replaced, 1);
	return XDP_PASS;
}

SEC("fentry/asks")
int enters(void *ctx)
{
	__sync_fetch_and_add(&entered, 1);
	return 0;
}

SEC("fexit/asks")
int leaves(void *ctx)
{
	__sync_fetch_and_add(&left, 1);
	return 0;
}
