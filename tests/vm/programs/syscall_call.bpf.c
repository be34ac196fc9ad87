/* Called once each, in this order; the second changes its context. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct arguments {
	__u32 in, out;
};

int calls;

SEC("syscall")
int first(void *ctx)
{
	calls = 10;
	return 7;
}

SEC("syscall")
int second(struct arguments *arguments)
{
	calls += 1;
	arguments->out = arguments->in + 5;
	return 0;
}
