// A scheduler that leaves everything to the kernel's defaults and counts who gets to run.
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

__u64 switches;

SEC("struct_ops/running")
void BPF_PROG(running, struct task_struct *task)
{
	__sync_fetch_and_add(&switches, 1);
}

SEC(".struct_ops.link")
struct sched_ext_ops counting = {
	.running = (void *)running,
	.name = "counting",
};
