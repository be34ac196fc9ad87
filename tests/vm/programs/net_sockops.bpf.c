/* A sockops program that puts the sockets of its cgroup into a map, and one for what they send. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct key {
	__u32 remote_ip, remote_port, local_ip, local_port;
};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1024);
	__type(key, struct key);
	__type(value, __u64);
} connections SEC(".maps");

int put_in;

SEC("sockops")
int connects(struct bpf_sock_ops *ops)
{
	struct key key = { ops->remote_ip4, ops->remote_port, ops->local_ip4, ops->local_port };

	if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		if (!bpf_sock_hash_update(ops, &connections, &key, BPF_ANY))
			__sync_fetch_and_add(&put_in, 1);
	return 0;
}

SEC("sk_msg")
int sends(struct sk_msg_md *msg)
{
	return SK_PASS;
}
