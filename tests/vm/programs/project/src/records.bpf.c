/* Two structs in one ring buffer, neither of which is in BTF by itself; their header is elsewhere in the project. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "kit/records.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} records SEC(".maps");

SEC("tp/sched/sched_process_exec")
int on_exec(void *ctx)
{
	struct started *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record)
		return 0;
	record->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(record->name, sizeof(record->name));
	bpf_ringbuf_submit(record, 0);
	return 0;
}

SEC("tp/sched/sched_process_exit")
int on_exit(void *ctx)
{
	struct ended *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record)
		return 0;
	record->pid = bpf_get_current_pid_tgid() >> 32;
	record->status = 0;
	record->when_ns = bpf_ktime_get_ns();
	bpf_get_current_comm(record->name, sizeof(record->name));
	bpf_ringbuf_submit(record, 0);
	return 0;
}
