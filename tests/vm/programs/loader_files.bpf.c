/* Prints, sends and counts on a tracepoint, and counts packets: what other loaders load and we show. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct opening {
	__u32 pid;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} openings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} by_pid SEC(".maps");

__u64 total;

SEC("tracepoint/syscalls/sys_enter_openat")
int opened(void *ctx)
{
	struct opening *opening = bpf_ringbuf_reserve(&openings, sizeof(*opening), 0);
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 one = 1, *count = bpf_map_lookup_elem(&by_pid, &pid);

	total++;
	if (count)
		*count += 1;
	else
		bpf_map_update_elem(&by_pid, &pid, &one, BPF_ANY);
	if (!opening)
		return 0;
	opening->pid = pid;
	bpf_get_current_comm(opening->comm, sizeof(opening->comm));
	bpf_ringbuf_submit(opening, 0);
	bpf_printk("a file is opened");
	return 0;
}

SEC("xdp")
int passed(struct xdp_md *ctx)
{
	total++;
	return XDP_PASS;
}

SEC("cgroup/connect4")
int connected(struct bpf_sock_addr *ctx)
{
	return 1;
}
