/* Unknown bits that are all remembered: the verifier goes through every combination until it gives up. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tp/sched/sched_process_exec")
int walk(void *ctx)
{
	__u64 seed = bpf_get_prandom_u32(), sum = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 100000; i++) {
		if (seed & (1 << (i & 31)))
			sum = sum * 3 + i;
		else
			sum ^= bpf_get_prandom_u32();
	}
	return sum;
}

char LICENSE[] SEC("license") = "GPL";
