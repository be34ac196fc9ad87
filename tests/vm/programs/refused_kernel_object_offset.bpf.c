#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tp_btf/sched_process_exit")
int BPF_PROG(refused, struct task_struct *task)
{
	return *(volatile int *)((char *)task + 1000000); /* refused here */
}
