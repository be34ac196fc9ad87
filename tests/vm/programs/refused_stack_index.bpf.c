#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tracepoint/syscalls/sys_enter_openat")
int refused(void *ctx)
{
	char name[16] = {};

	bpf_get_current_comm(name, sizeof(name));
	return name[bpf_get_prandom_u32()]; /* refused here */
}
