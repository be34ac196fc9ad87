/* Maps whose sizes only their own loader would know, and a struct that only it could relocate. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, sizeof(__u32));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u32);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} outer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct bpf_cpumap_val));
} processors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
		__uint(key_size, sizeof(__u32));
		__uint(value_size, sizeof(__u32));
	});
} buffers SEC(".maps");

struct tally {
	__u32 first, calls;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tally);
} tallies SEC(".maps");

struct event {
	int pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__type(value, struct event);
} events SEC(".maps");

SEC("tp/sched/sched_process_exec")
int take_stack(void *ctx)
{
	__u32 stack = bpf_get_stackid(ctx, &stacks, 0), one = 1, zero = 0;
	struct tally *tally;
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	bpf_map_update_elem(&counts, &stack, &one, BPF_ANY);
	bpf_map_lookup_elem(&outer, &one);
	tally = bpf_map_lookup_elem(&tallies, &zero);
	if (tally)
		__sync_fetch_and_add(&tally->calls, 1);
	if (event) {
		event->pid = bpf_get_current_pid_tgid() >> 32;
		bpf_ringbuf_submit(event, 0);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
