/* The better way in is one that the verifier refuses: its twin is taken. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 executions;

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_btf, struct task_struct *task)
{
	task->pid = 0;
	__sync_fetch_and_add(&executions, 1);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(exec_raw)
{
	__sync_fetch_and_add(&executions, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
