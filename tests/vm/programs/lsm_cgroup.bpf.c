/* An LSM hook for the processes of one cgroup. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

__u64 created;

SEC("lsm_cgroup/socket_post_create")
int BPF_PROG(count_sockets, struct socket *sock, int family, int type, int protocol, int kern)
{
	__sync_fetch_and_add(&created, 1);
	return 1;
}
