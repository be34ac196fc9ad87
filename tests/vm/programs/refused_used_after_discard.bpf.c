#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct event {
	__u64 time;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp")
int refused(struct xdp_md *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return XDP_PASS;
	/* On the stack, as where a long program needs its registers for something else. */
	struct event *volatile kept = event;

	bpf_ringbuf_discard(event, 0);
	return kept->time ? XDP_DROP : XDP_PASS; /* refused here */
}
