/* Denies bpf() to everybody, the tool that loaded it included. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

#define EPERM 1

__u64 denied;

SEC("lsm/bpf")
int BPF_PROG(deny_bpf, int command, union bpf_attr *attr, unsigned int size)
{
	__sync_fetch_and_add(&denied, 1);
	bpf_printk("denied bpf command %d", command);
	return -EPERM;
}

SEC("tp_btf/sys_enter")
int after_it_in_the_file(void *ctx)
{
	return 0;
}
