/* A scheduler in its smallest form: a map without a program. */
#define sched_ext_ops the_kernels_sched_ext_ops
#include "vmlinux.h"
#undef sched_ext_ops
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct sched_ext_ops {
	char name[128];
};

SEC(".struct_ops.link")
struct sched_ext_ops smallest = {
	.name = "smallest",
};
