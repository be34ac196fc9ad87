/* Samples the CPU: how often in user space, how often in the kernel, and one stack. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 256);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 64 * sizeof(__u64));
} stacks SEC(".maps");

__u64 in_user, in_kernel;

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	if (bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK) >= 0)
		__sync_fetch_and_add(&in_user, 1);
	if (bpf_get_stackid(ctx, &stacks, 0) >= 0)
		__sync_fetch_and_add(&in_kernel, 1);
	return 0;
}
