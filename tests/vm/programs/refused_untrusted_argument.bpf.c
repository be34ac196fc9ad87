#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

extern struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;

SEC("tp_btf/sched_process_exit")
int BPF_PROG(refused, struct task_struct *task)
{
	struct task_struct *other = bpf_task_acquire(task->last_wakee); /* refused here */

	if (other)
		bpf_task_release(other);
	return 0;
}
