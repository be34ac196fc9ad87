/* What libbpf 1.0 gave up: maps of the old form, and it never took static program functions. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
};

struct bpf_map_def SEC("maps") executions = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 64,
};

struct bpf_map_def SEC("maps") calls = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 2,
	.map_flags = BPF_F_MMAPABLE,
};

SEC("tp/sched/sched_process_exec")
static int count_executions(void *ctx)
{
	__u32 zero = 0, key = 7;
	__u64 one = 1, *calls_so_far = bpf_map_lookup_elem(&calls, &zero);

	if (calls_so_far)
		__sync_fetch_and_add(calls_so_far, 1);
	bpf_map_update_elem(&executions, &key, &one, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
