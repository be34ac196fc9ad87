#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct task { int state; };

SEC("tracepoint/syscalls/sys_enter_openat")
int refused(void *ctx)
{
	struct task *task = (void *)bpf_get_current_task();

	return task->state; /* refused here */
}
