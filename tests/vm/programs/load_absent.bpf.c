/* Alternatives for other kernels: what is not in this one is left off. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("fentry/vfs_reed")
int BPF_PROG(no_function)
{
	return 0;
}

SEC("tp_btf/sched_switched")
int BPF_PROG(no_btf_tracepoint)
{
	return 0;
}

SEC("lsm/file_opened")
int BPF_PROG(no_lsm_hook)
{
	return 0;
}

SEC("tp/sched/sched_switches")
int no_tracepoint(void *ctx)
{
	return 0;
}

SEC("raw_tp/sched_switches")
int no_raw_tracepoint(void *ctx)
{
	return 0;
}

SEC("kprobe/vfs_reed")
int no_kprobe(void *ctx)
{
	return 0;
}

SEC("fentry")
int BPF_PROG(says_nothing)
{
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(is_there)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
