#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tracepoint/syscalls/sys_enter_openat")
int refused(void *ctx)
{
	return bpf_xdp_adjust_head(ctx, 4); /* refused here */
}
