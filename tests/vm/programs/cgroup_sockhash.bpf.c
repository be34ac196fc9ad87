/* Puts every established connection into a SOCKHASH. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct connection {
	__u32 local_port, remote_port, family;
};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1024);
	__type(key, struct connection);
	__type(value, __u64);
} connections SEC(".maps");

__u64 added;

SEC("sockops")
int fill(struct bpf_sock_ops *ctx)
{
	struct connection key = {
		.local_port = ctx->local_port, .remote_port = ctx->remote_port, .family = ctx->family
	};

	if (ctx->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return 1;
	if (!bpf_sock_hash_update(ctx, &connections, &key, BPF_ANY))
		__sync_fetch_and_add(&added, 1);
	return 1;
}
