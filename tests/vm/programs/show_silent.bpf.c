// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Runs and says nothing: a filter is at 0, and a map that it asks is empty. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

const volatile int target_pid = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} watched_users SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_kill")
int on_kill(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32, user = bpf_get_current_uid_gid();

	if (pid == target_pid && bpf_map_lookup_elem(&watched_users, &user))
		bpf_printk("%d of %d", pid, user);
	return 0;
}
