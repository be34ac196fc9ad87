#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct event { __u64 task; __u64 time; };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int refused(void *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&rb, sizeof(event), 0);

	if (!event)
		return 0;
	event->time = bpf_ktime_get_ns(); /* refused here */
	bpf_ringbuf_submit(event, 0);
	return 0;
}
