// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * killsnoop - who sent which signal to whom, and did the kernel allow it?
 *
 * The arguments are known when kill() is entered, the result when it returns.
 * So two programs work together, and a hash map carries the arguments across.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* Watch only this sender, or everybody when 0. A constant for the verifier: 0 costs nothing. */
const volatile __u32 target_pid = 0;

struct event {
	__u32 pid; /* the sender */
	__s32 target; /* negative: a process group; -1: everybody */
	__s32 signal; /* 0: only asks whether the target exists */
	__s32 ret; /* 0 or a negative errno, as kill() answered */
	char comm[16]; /* the sender's name */
};

/* Calls that have been entered and not yet returned from, by thread. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct event);
} pending SEC(".maps");

/*
 * The kernel does not look into ring buffer records; __type(value) is here so that the
 * runner, which has no code of ours, can decode them by BTF. Plain libbpf refuses that
 * line: there the companion program knows the struct (see the example execsnoop).
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
	__type(value, struct event);
} events SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_kill")
int kill_enter(struct trace_event_raw_sys_enter *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tid = (__u32)pid_tgid;
	struct event event = {
		.pid = pid_tgid >> 32,
		.target = (__s32)ctx->args[0],
		.signal = (__s32)ctx->args[1],
	};

	if (target_pid && event.pid != target_pid)
		return 0;

	bpf_get_current_comm(event.comm, sizeof(event.comm));
	bpf_map_update_elem(&pending, &tid, &event, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_kill")
int kill_exit(struct trace_event_raw_sys_exit *ctx)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct event *event = bpf_map_lookup_elem(&pending, &tid);

	/* Entered before we were attached, or not the sender we look for. */
	if (!event)
		return 0;

	event->ret = (__s32)ctx->ret;
	bpf_ringbuf_output(&events, event, sizeof(*event), 0);
	bpf_map_delete_elem(&pending, &tid);
	return 0;
}
