/* One hook in two ways: those that do the same are alternatives, the others were meant to run beside each other. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 executions, seen_by_btf, seen_by_raw;

static int count(void)
{
	__sync_fetch_and_add(&executions, 1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_btf)
{
	return count();
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(exec_raw)
{
	return count();
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_btf)
{
	__sync_fetch_and_add(&seen_by_btf, 1);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int BPF_PROG(exit_raw)
{
	__sync_fetch_and_add(&seen_by_raw, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
