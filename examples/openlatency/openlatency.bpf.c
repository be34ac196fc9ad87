// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * openlatency - how long does opening a file take, as a histogram.
 *
 * Every open(), openat() and openat2() goes through the kernel function
 * do_sys_openat2(). A kprobe notes the time at its start, a kretprobe at its end
 * adds the difference to one of 27 counters. The histogram is made in the kernel:
 * user space reads 27 numbers, however many files were opened.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

#define MAX_SLOTS 27 /* the last one is 2^26 us, more than a minute */
#define PATH_LEN 128

/* Print the path of what took this long or longer; 0 prints nothing. */
const volatile __u64 slow_us = 0;

struct start {
	__u64 ns;
	const char *path; /* in the memory of the process, read only when it is needed */
};

/* The opens that are under way, by thread: a thread is in one open at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct start);
} starts SEC(".maps");

/* slots[n] counts what took from 2^n to 2^(n+1) - 1 microseconds; slots[0] has 0 and 1. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

/* The position of the highest bit: a loop that the verifier can see the end of. */
static __u32 log2_slot(__u64 value)
{
	__u32 slot = 0;

	for (int i = 0; i < MAX_SLOTS - 1 && value > 1; i++) {
		value >>= 1;
		slot++;
	}
	return slot;
}

static void report_slow(const char *user_path, __u64 us)
{
	char path[PATH_LEN] = "?";

	bpf_probe_read_user_str(path, sizeof(path), user_path);
	bpf_printk("slow open: %llu us %s", us, path);
}

/* BPF_KPROBE takes the arguments out of the registers, whatever the processor calls them. */
SEC("kprobe/do_sys_openat2")
int BPF_KPROBE(open_begin, int dfd, const char *path)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct start start = { .ns = bpf_ktime_get_ns(), .path = path };

	bpf_map_update_elem(&starts, &tid, &start, BPF_ANY);
	return 0;
}

SEC("kretprobe/do_sys_openat2")
int BPF_KRETPROBE(open_end)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct start *start = bpf_map_lookup_elem(&starts, &tid);
	__u64 us, *count;
	__u32 slot;

	if (!start) /* the open began before we were attached */
		return 0;

	us = (bpf_ktime_get_ns() - start->ns) / 1000;
	slot = log2_slot(us);
	count = bpf_map_lookup_elem(&slots, &slot);
	if (count) /* always, but the verifier wants to see that we looked */
		__sync_fetch_and_add(count, 1); /* other CPUs count in the same slot */

	if (slow_us && us >= slow_us)
		report_slow(start->path, us);

	bpf_map_delete_elem(&starts, &tid);
	return 0;
}
