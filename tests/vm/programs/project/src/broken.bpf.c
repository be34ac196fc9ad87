/* It has no license, which it can do without, and a companion that does not build. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

__u64 count;

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	__sync_fetch_and_add(&count, 1);
	return 0;
}
