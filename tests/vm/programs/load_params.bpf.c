/* Every kind of variable and map entry that --set and --map can be asked for. */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

enum mode { MODE_OFF, MODE_ON = 7 };

struct settings {
	__u16 port;
	unsigned int strict : 1;
	unsigned int level : 5;
	struct {
		int low;
		int high;
	} range[2];
	char name[8];
};

const volatile __u32 my_pid = 0;
const volatile bool enabled = false;
const volatile enum mode mode = MODE_OFF;
const volatile char wanted[16] = "";
const volatile __s64 offset = 1;
const volatile __u8 mac[6] = {};
const volatile __u32 address = 0;
struct settings settings = { .port = 80 };
int numbers[4];
__u64 runs;

struct prefix {
	__u32 length;
	__u32 address;
};

struct rule {
	enum mode mode;
	__u64 hits;
	char label[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4);
	__type(key, char[8]);
	__type(value, __s32);
} by_name SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__uint(key_size, 6);
	__uint(value_size, 12);
} untyped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} jumps SEC(".maps");

SEC("tp/sched/sched_process_exec")
int jumped_to(void *ctx)
{
	__sync_fetch_and_add(&runs, 1);
	return 0;
}

SEC("tp/sched/sched_process_exec")
int jump(void *ctx)
{
	__u32 key = 0;

	bpf_map_lookup_elem(&by_name, "absent\0");
	bpf_map_lookup_elem(&untyped, "absent");
	bpf_map_lookup_elem(&rules, &(struct prefix){ 32, 0 });
	numbers[3] = my_pid + enabled + mode + wanted[0] + offset + mac[0] + address + settings.port + key;
	bpf_tail_call(ctx, &jumps, 2);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
