// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* One record on each of four buffers for every kill(): what decoding and rendering can do, with known values. */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define DEPTH 16

enum kind { KIND_NONE, KIND_KILL = 7 };

struct rich {
	__u32 pid;
	char comm[16];
	__u64 ts;
	__u64 delta_ns;
	__u32 saddr;
	struct in6_addr daddr;
	__be16 dport;
	__u16 sport;
	__u8 mac[6];
	__u16 family;
	int ret;
	int sig;
	__u32 flags;
	enum kind kind;
	bool forced;
	int kern_stack_id;
	__s64 kstack_sz;
	__u64 kstack[DEPTH];
	__s64 ustack_sz;
	__u64 ustack[DEPTH];
	struct {
		__u64 plain;
		__u8 saddr[16]; /* room for either family */
		__u16 family;
		__u8 protocol;
	} inner;
};

struct tailed {
	__u32 length;
	char text[];
};

/* Nothing but its length and its name say that a record is one; another struct has the same length. */
struct lone_event {
	__u64 first;
	__u64 second;
	__u64 third;
};

struct bystander {
	__u64 a[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} rich_rb SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} tailed_rb SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} lone_pb SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} unknown_rb SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 64);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, DEPTH * sizeof(__u64));
} stacks SEC(".maps");

/* As the build makes them. */
const struct rich *__ebpf_dev_event_rich_rb;
const struct tailed *__ebpf_dev_event_1_tailed_rb;

struct lone_event last_lone;
struct bystander last_bystander;

static void fill(struct rich *rich, void *ctx)
{
	rich->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(rich->comm, sizeof(rich->comm));
	rich->ts = bpf_ktime_get_ns();
	rich->delta_ns = 1500000;
	rich->saddr = bpf_htonl(0xc0000201);
	__builtin_memset(&rich->daddr, 0, sizeof(rich->daddr));
	rich->daddr.in6_u.u6_addr8[15] = 1;
	rich->dport = bpf_htons(443);
	rich->sport = bpf_htons(80); /* turned, but its type does not say so */
	__builtin_memset(rich->mac, 0xab, sizeof(rich->mac));
	rich->family = 10;
	rich->ret = -2;
	rich->sig = 15;
	rich->flags = 0x241;
	rich->kind = KIND_KILL;
	rich->forced = true;
	rich->kern_stack_id = bpf_get_stackid(ctx, &stacks, 0);
	rich->kstack_sz = bpf_get_stack(ctx, rich->kstack, sizeof(rich->kstack), 0);
	rich->ustack_sz = bpf_get_stack(ctx, rich->ustack, sizeof(rich->ustack), BPF_F_USER_STACK);
	rich->inner.plain = 1234;
	__builtin_memset(rich->inner.saddr, 0xff, sizeof(rich->inner.saddr));
	__builtin_memcpy(rich->inner.saddr, &rich->saddr, sizeof(rich->saddr));
	rich->inner.family = 2;
	rich->inner.protocol = 6;
}

SEC("tracepoint/syscalls/sys_enter_kill")
int on_kill(void *ctx)
{
	struct rich *rich = bpf_ringbuf_reserve(&rich_rb, sizeof(*rich), 0);
	struct lone_event lone = { 1, 2, 3 };
	char tailed[10] = { 5, 0, 0, 0, 'h', 'e', 'l', 'l', 'o', 0 };
	char unknown[5] = { 'o', 'd', 'd', 1, 2 };

	if (rich) {
		fill(rich, ctx);
		bpf_ringbuf_submit(rich, 0);
	}
	bpf_ringbuf_output(&tailed_rb, tailed, sizeof(tailed), 0);
	bpf_perf_event_output(ctx, &lone_pb, BPF_F_CURRENT_CPU, &lone, sizeof(lone));
	bpf_ringbuf_output(&unknown_rb, unknown, sizeof(unknown), 0);
	return 0;
}
