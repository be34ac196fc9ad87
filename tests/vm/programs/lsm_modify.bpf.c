/* Changes what a kernel function returns. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

__u64 asked;

SEC("fmod_ret/security_file_open")
int BPF_PROG(watch_open, struct file *file, int ret)
{
	__sync_fetch_and_add(&asked, 1);
	return ret;
}
