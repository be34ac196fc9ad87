#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;

SEC("sk_lookup")
int refused(struct bpf_sk_lookup *ctx)
{
	struct task_struct *task = bpf_task_from_pid(1); /* refused here */

	if (task)
		bpf_task_release(task);
	return SK_PASS;
}
