// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Every kind of map that can be listed, filled with known values by each kill(). */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define MAP(map_type, entries, key_type, value_type, name) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")

struct flow {
	__u32 saddr;
	__be16 dport;
	__u16 pad;
};

struct prefix {
	__u32 prefixlen;
	__u8 bytes[4];
};

struct job {
	int code;
	char name[4];
};

struct tally {
	__u64 count;
};

struct caller {
	__u64 count;
	char comm[16];
};

struct stack_sample {
	__u32 pid;
	int user_stack_id;
	int kern_stack_id;
};

MAP(BPF_MAP_TYPE_HASH, 16, struct flow, __u64, flows);
MAP(BPF_MAP_TYPE_HASH, 16, __u32, __u64, blocked_ips);
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, 2, __u32, __u64, totals);
MAP(BPF_MAP_TYPE_PERCPU_HASH, 4, __u32, struct caller, callers);
MAP(BPF_MAP_TYPE_ARRAY, 27, __u32, __u64, latency_us);
MAP(BPF_MAP_TYPE_HASH, 64, struct stack_sample, __u64, samples);
MAP(BPF_MAP_TYPE_HASH, 16, __u32, __u32, settings);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16);
	__type(value, struct job);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 64);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 16 * sizeof(__u64));
} stacks SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct tally);
} inner_0 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [1] = &inner_0 } };

__u64 kills;

static void add(void *map, const void *key)
{
	__u64 one = 1, *count = bpf_map_lookup_elem(map, key);

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(map, key, &one, BPF_ANY);
}

static void note_caller(void)
{
	struct caller new = {}, *caller;
	__u32 key = 7;

	bpf_map_update_elem(&callers, &key, &new, BPF_NOEXIST);
	caller = bpf_map_lookup_elem(&callers, &key);
	if (!caller)
		return;
	caller->count++;
	bpf_get_current_comm(caller->comm, sizeof(caller->comm));
}

SEC("tracepoint/syscalls/sys_enter_kill")
int on_kill(void *ctx)
{
	struct flow flow = { bpf_htonl(0xc0000201), bpf_htons(443) };
	struct prefix prefix = { 24, { 192, 0, 2, 0 } };
	struct job job = { -1, "job" };
	struct stack_sample sample = { bpf_get_current_pid_tgid() >> 32 };
	__u32 one = 1, slot = 5, address = bpf_htonl(0xc6336401);
	void *inside;

	kills++;
	if (bpf_map_lookup_elem(&settings, &one))
		return 0;
	add(&flows, &flow);
	add(&blocked_ips, &address);
	add(&totals, &one);
	add(&latency_us, &slot);
	bpf_map_update_elem(&routes, &prefix, &one, BPF_ANY);
	bpf_map_push_elem(&queue, &job, BPF_ANY);
	note_caller();
	sample.kern_stack_id = bpf_get_stackid(ctx, &stacks, 0);
	sample.user_stack_id = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	add(&samples, &sample);
	inside = bpf_map_lookup_elem(&outer, &one);
	if (inside)
		add(inside, &slot);
	return 0;
}
