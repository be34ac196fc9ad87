/* A struct with a member that no kernel has. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct tcp_congestion_ops___newer {
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

SEC(".struct_ops")
struct tcp_congestion_ops___newer newer = {
	.ssthresh = (void *)threshold,
	.undo_cwnd = (void *)threshold,
	.foresight = (void *)threshold,
	.name = "ebpf_dev_newer",
};
