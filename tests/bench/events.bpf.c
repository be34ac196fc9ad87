// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* A thousand records for each kill(), as fast as the kernel can make them. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define BURST 1000

struct event {
	__u64 ts;
	__u64 delta_ns;
	__u32 pid;
	__u32 number;
	__u32 saddr;
	__u16 dport;
	__u16 family;
	int ret;
	char comm[16];
	char path[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
	__type(value, struct event);
} events SEC(".maps");

__u64 sent, refused;

static long send(__u32 number, void *context)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		__sync_fetch_and_add(&refused, 1);
		return 0;
	}
	event->ts = bpf_ktime_get_ns();
	event->delta_ns = 1500000;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->number = number;
	event->saddr = 0x010200c0;
	event->dport = 443;
	event->family = 2;
	event->ret = -2;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	__builtin_memcpy(event->path, "/etc/ld.so.cache", sizeof("/etc/ld.so.cache"));
	bpf_ringbuf_submit(event, 0);
	__sync_fetch_and_add(&sent, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_kill")
int burst(void *context)
{
	bpf_loop(BURST, send, NULL, 0);
	return 0;
}
