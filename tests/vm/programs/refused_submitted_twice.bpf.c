#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int refused(void *ctx)
{
	__u64 *event = bpf_ringbuf_reserve(&rb, sizeof(*event), 0);

	if (!event)
		return 0;
	*event = bpf_get_current_pid_tgid();
	bpf_ringbuf_submit(event, 0);
	bpf_ringbuf_discard(event, 0); /* refused here */
	return 0;
}
