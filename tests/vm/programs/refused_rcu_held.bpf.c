#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern void bpf_rcu_read_lock(void) __ksym;

SEC("socket")
int refused(struct __sk_buff *skb)
{
	bpf_rcu_read_lock();
	return 0; /* refused here */
}
