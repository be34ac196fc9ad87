/* The section says which event: here a software one, and one of the hardware that a virtual machine lacks. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__u64 by_clock, by_misses;

SEC("perf_event/type=1,config=0,frequency=99")
int count_clock(struct bpf_perf_event_data *ctx)
{
	__sync_fetch_and_add(&by_clock, 1);
	return 0;
}

SEC("perf_event/type=0,config=3,frequency=1")
int count_misses(struct bpf_perf_event_data *ctx)
{
	__sync_fetch_and_add(&by_misses, 1);
	return 0;
}
