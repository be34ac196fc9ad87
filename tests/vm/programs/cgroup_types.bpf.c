/* One program for each hook of a cgroup; each counts its runs by name. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define ACCESS_MKNOD 1 /* BPF_DEVCG_ACC_MKNOD, no type uses it */

struct counts {
	__u64 skb_in, skb_out, skb_any, sock_create, sock_release, post_bind4, post_bind6;
	__u64 bind4, bind6, connect4, connect6, sendmsg4, sendmsg6, recvmsg4, recvmsg6;
	__u64 getpeername4, getpeername6, getsockname4, getsockname6;
	__u64 getsockopt, setsockopt, sysctl_read, sysctl_write, device_open, device_mknod, sock_ops;
} counts;

#define COUNTING(section, name, context)                     \
	SEC(section) int count_##name(context *ctx)          \
	{                                                    \
		__sync_fetch_and_add(&counts.name, 1);       \
		return 1;                                    \
	}

COUNTING("cgroup_skb/ingress", skb_in, struct __sk_buff)
COUNTING("cgroup_skb/egress", skb_out, struct __sk_buff)
COUNTING("cgroup/skb", skb_any, struct __sk_buff)
COUNTING("cgroup/sock_create", sock_create, struct bpf_sock)
COUNTING("cgroup/sock_release", sock_release, struct bpf_sock)
COUNTING("cgroup/post_bind4", post_bind4, struct bpf_sock)
COUNTING("cgroup/post_bind6", post_bind6, struct bpf_sock)
COUNTING("cgroup/bind4", bind4, struct bpf_sock_addr)
COUNTING("cgroup/bind6", bind6, struct bpf_sock_addr)
COUNTING("cgroup/connect4", connect4, struct bpf_sock_addr)
COUNTING("cgroup/connect6", connect6, struct bpf_sock_addr)
COUNTING("cgroup/sendmsg4", sendmsg4, struct bpf_sock_addr)
COUNTING("cgroup/sendmsg6", sendmsg6, struct bpf_sock_addr)
COUNTING("cgroup/recvmsg4", recvmsg4, struct bpf_sock_addr)
COUNTING("cgroup/recvmsg6", recvmsg6, struct bpf_sock_addr)
COUNTING("cgroup/getpeername4", getpeername4, struct bpf_sock_addr)
COUNTING("cgroup/getpeername6", getpeername6, struct bpf_sock_addr)
COUNTING("cgroup/getsockname4", getsockname4, struct bpf_sock_addr)
COUNTING("cgroup/getsockname6", getsockname6, struct bpf_sock_addr)
COUNTING("cgroup/getsockopt", getsockopt, struct bpf_sockopt)
COUNTING("cgroup/setsockopt", setsockopt, struct bpf_sockopt)

SEC("cgroup/sysctl")
int count_sysctl(struct bpf_sysctl *ctx)
{
	if (ctx->write)
		__sync_fetch_and_add(&counts.sysctl_write, 1);
	else
		__sync_fetch_and_add(&counts.sysctl_read, 1);
	return 1;
}

SEC("cgroup/dev")
int count_device(struct bpf_cgroup_dev_ctx *ctx)
{
	if ((ctx->access_type >> 16) & ACCESS_MKNOD)
		__sync_fetch_and_add(&counts.device_mknod, 1);
	else
		__sync_fetch_and_add(&counts.device_open, 1);
	return 1;
}

SEC("sockops")
int count_sock_ops(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		__sync_fetch_and_add(&counts.sock_ops, 1);
	return 1;
}
