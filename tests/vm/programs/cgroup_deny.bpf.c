/* Denies all that a cgroup can deny: whoever is inside can do no more, and the run must end nevertheless. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("cgroup/dev")
int deny_devices(struct bpf_cgroup_dev_ctx *ctx)
{
	return 0;
}

SEC("cgroup/sysctl")
int deny_sysctls(struct bpf_sysctl *ctx)
{
	bpf_printk("denied a sysctl");
	return 0;
}

SEC("cgroup/connect4")
int deny_connections(struct bpf_sock_addr *ctx)
{
	bpf_printk("denied a connection");
	return 0;
}

SEC("cgroup_skb/egress")
int deny_packets(struct __sk_buff *skb)
{
	return 0;
}
