/* A congestion control that never changes its window much, and counts how often it is asked. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

__u64 started, avoided;

SEC("struct_ops/started")
void BPF_PROG(start, struct sock *sk)
{
	__sync_fetch_and_add(&started, 1);
}

SEC("struct_ops/threshold")
__u32 BPF_PROG(threshold, struct sock *sk)
{
	return 10;
}

SEC("struct_ops/undo")
__u32 BPF_PROG(undo, struct sock *sk)
{
	return 10;
}

SEC("struct_ops/avoid")
void BPF_PROG(avoid, struct sock *sk, __u32 ack, __u32 acked)
{
	__sync_fetch_and_add(&avoided, 1);
}

SEC(".struct_ops")
struct tcp_congestion_ops still = {
	.init = (void *)start,
	.ssthresh = (void *)threshold,
	.undo_cwnd = (void *)undo,
	.cong_avoid = (void *)avoid,
	.name = "ebpf_dev_still",
};
