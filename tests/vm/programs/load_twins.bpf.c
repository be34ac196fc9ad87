/* One hook in two ways: those that do the same are alternatives, the others were meant to run beside each other. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 executions, seen_by_btf, seen_by_raw, directories;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u64);
} entered SEC(".maps");

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

SEC("fexit/vfs_mkdir")
int BPF_PROG(mkdir_fexit)
{
	__sync_fetch_and_add(&directories, 1);
	return 0;
}

/* Two kprobes that together do what the fexit program does. */
SEC("kprobe/vfs_mkdir")
int mkdir_entry(void *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();

	bpf_map_update_elem(&entered, &thread, &now, BPF_ANY);
	return 0;
}

SEC("kretprobe/vfs_mkdir")
int mkdir_return(void *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();

	if (!bpf_map_delete_elem(&entered, &thread))
		__sync_fetch_and_add(&directories, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
