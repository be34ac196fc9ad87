/* The hooks for Unix sockets, which came later than the others (Linux 6.7). */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct counts {
	__u64 connect, sendmsg, recvmsg, getpeername, getsockname;
} counts;

#define COUNTING(name)                                                         \
	SEC("cgroup/" #name "_unix") int count_##name(struct bpf_sock_addr *ctx) \
	{                                                                      \
		__sync_fetch_and_add(&counts.name, 1);                         \
		return 1;                                                      \
	}

COUNTING(connect)
COUNTING(sendmsg)
COUNTING(recvmsg)
COUNTING(getpeername)
COUNTING(getsockname)
