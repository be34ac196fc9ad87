#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tp_btf/sched_process_exit")
int BPF_PROG(refused, struct task_struct *task)
{
	char word[8];

	return bpf_copy_from_user(word, sizeof(word), (void *)1); /* refused here */
}
