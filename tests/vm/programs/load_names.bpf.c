/* Names that are nearly right: without the group, the architecture's prefix, or with another one's. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("tp/sched_process_exec")
int no_group(void *ctx)
{
	return 0;
}

SEC("tracepoint/task/sched_process_exec")
int other_group(void *ctx)
{
	return 0;
}

SEC("raw_tracepoint/sched/sched_process_exec")
int raw_with_group(void *ctx)
{
	return 0;
}

SEC("kprobe/sys_execve")
int bare_system_call(void *ctx)
{
	return 0;
}

SEC("kretprobe/__s390x_sys_execve")
int other_architecture(void *ctx)
{
	return 0;
}

SEC("fentry/__riscv_sys_execve")
int BPF_PROG(other_architecture_btf)
{
	return 0;
}

SEC("kprobe/vfs_read+0x0")
int with_offset(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
