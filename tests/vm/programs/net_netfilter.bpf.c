/* Netfilter programs, which newer headers than those of Debian 12 know: hence vmlinux.h. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("netfilter")
int accepts(struct bpf_nf_ctx *ctx)
{
	return 1; /* NF_ACCEPT */
}

SEC("netfilter")
int drops_output_v6(struct bpf_nf_ctx *ctx)
{
	return 0; /* NF_DROP */
}
