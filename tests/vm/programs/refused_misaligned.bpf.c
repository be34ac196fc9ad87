#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tracepoint/syscalls/sys_enter_openat")
int refused(void *ctx)
{
	char bytes[16] = {};
	volatile char *at = bytes;

	bpf_get_current_comm(bytes, sizeof(bytes));
	return *(volatile __u64 *)(at + 3); /* refused here */
}
