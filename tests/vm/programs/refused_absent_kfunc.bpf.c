#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

extern int no_such_kfunc(int) __ksym __weak;

SEC("socket")
int refused(struct __sk_buff *skb)
{
	return no_such_kfunc(skb->len);
}
