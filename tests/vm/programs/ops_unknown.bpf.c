/* A scheduler in its smallest form: a map without a program. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct sched_ext_ops___ours {
	char name[128];
};

SEC(".struct_ops.link")
struct sched_ext_ops___ours smallest = {
	.name = "smallest",
};
