#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* The benchmark writes another number here for every change. */
#define EDITION 0

long opened = EDITION;

SEC("tracepoint/syscalls/sys_enter_openat")
int count_opens(struct trace_event_raw_sys_enter *ctx)
{
	if (!bpf_get_current_pid_tgid())
		return EDITION;
	__sync_fetch_and_add(&opened, 1);
	return 0;
}
