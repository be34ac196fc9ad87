/* The verifier follows each of these loops turn by turn, as far as it ever goes. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define LONG_PROGRAM(name)						\
	SEC("tp/sched/sched_process_exec")				\
	int name(void *ctx)						\
	{								\
		__u32 sum = 0;						\
									\
		for (int i = 0; i < 120000; i++)			\
			asm volatile("%0 += %1" : "+r"(sum) : "r"(i));	\
		return sum;						\
	}

LONG_PROGRAM(first)
LONG_PROGRAM(second)
LONG_PROGRAM(third)
LONG_PROGRAM(fourth)
LONG_PROGRAM(fifth)
LONG_PROGRAM(sixth)
LONG_PROGRAM(seventh)
LONG_PROGRAM(eighth)

char LICENSE[] SEC("license") = "GPL";
