#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct call { __u64 common; __u64 id; __u64 args[6]; };

SEC("tracepoint/syscalls/sys_enter_write")
int refused(struct call *ctx)
{
	char copy[64];
	long size = ctx->args[2];

	if (size < 0)
		return 0;
	bpf_probe_read_user(copy, size, (void *)ctx->args[1]); /* refused here */
	return copy[0];
}
