// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * execsnoop - send one event per started program to the companion, execsnoop.c.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "execsnoop.h"

char LICENSE[] SEC("license") = "GPL";

#define ANY_UID ((unsigned int)-1)

/*
 * const volatile puts it into .rodata: the companion may set it between open and load,
 * and after that the verifier treats it as a constant and drops the dead branch.
 */
const volatile unsigned int only_uid = ANY_UID;

/* How many events found no room: user space was too slow. */
unsigned long long lost;

/* One queue for all CPUs. max_entries is its size in bytes: a power of two, in whole pages. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* Copy the new program's arguments, which lie together in its own memory. */
static void read_args(struct event *event, struct task_struct *task)
{
	unsigned long start = BPF_CORE_READ(task, mm, arg_start);
	unsigned long len = BPF_CORE_READ(task, mm, arg_end) - start;

	if (len > ARGS_LEN - 1)
		len = ARGS_LEN - 1;
	/* Never true to the bits, but it shows the verifier the bounds of the copy below. */
	len &= ARGS_LEN - 1;

	event->args_len = bpf_probe_read_user(event->args, len, (void *)start) ? 0 : len;
}

/* Runs in the new program, once execve has succeeded. Failed attempts are not seen here. */
SEC("tracepoint/sched/sched_process_exec")
int handle_exec(struct trace_event_raw_sched_process_exec *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	unsigned int uid = (unsigned int)bpf_get_current_uid_gid();
	unsigned int file_offset = ctx->__data_loc_filename & 0xffff;
	struct event *event;

	if (only_uid != ANY_UID && uid != only_uid)
		return 0;

	/* Write in place: what is reserved here is what user space reads, without a copy. */
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}

	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->ppid = BPF_CORE_READ(task, real_parent, tgid);
	event->uid = uid;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	/* A __data_loc field holds where in the record the string starts, and its length. */
	bpf_probe_read_kernel_str(event->file, sizeof(event->file), (void *)ctx + file_offset);
	read_args(event, task);

	bpf_ringbuf_submit(event, 0);
	return 0;
}
