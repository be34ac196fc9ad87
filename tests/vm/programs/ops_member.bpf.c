/* A struct with a member that no kernel has. */
#define tcp_congestion_ops the_kernels_tcp_congestion_ops
#include "vmlinux.h"
#undef tcp_congestion_ops
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	__u32 (*undo_cwnd)(struct sock *sk);
	__u32 (*foresight)(struct sock *sk);
	char name[16];
};

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

SEC("struct_ops/foresight")
__u32 BPF_PROG(foresight, struct sock *sk)
{
	return 10;
}

SEC(".struct_ops")
struct tcp_congestion_ops newer = {
	.ssthresh = (void *)threshold,
	.undo_cwnd = (void *)undo,
	.foresight = (void *)foresight,
	.name = "ebpf_dev_newer",
};
