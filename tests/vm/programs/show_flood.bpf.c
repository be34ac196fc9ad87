// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Prints with every system call of every process. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("raw_tp/sys_enter")
int on_call(void *ctx)
{
	bpf_printk("one more call");
	return 0;
}
