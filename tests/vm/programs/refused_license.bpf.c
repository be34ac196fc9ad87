#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Proprietary";

SEC("tracepoint/syscalls/sys_enter_openat")
int refused(void *ctx)
{
	return bpf_get_current_task() & 1; /* refused here */
}
