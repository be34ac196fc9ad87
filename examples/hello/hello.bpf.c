// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * hello - print a line each time a program is started.
 *
 * The smallest program that does something useful: one function, called by the
 * kernel whenever any process enters the execve system call.
 */
#include "vmlinux.h" /* every type of the running kernel, made from its BTF */
#include <bpf/bpf_helpers.h> /* SEC(), bpf_printk() and the other helpers */

/* The kernel lends helpers such as bpf_printk() only to GPL-compatible programs. */
char LICENSE[] SEC("license") = "GPL";

/* The section name says what to attach to: here the tracepoint syscalls:sys_enter_execve. */
SEC("tracepoint/syscalls/sys_enter_execve")
int hello(struct trace_event_raw_sys_enter *ctx)
{
	char comm[16];

	/* One number carries both ids: the process (what ps calls the PID) in the upper half. */
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	/* The caller has not become the new program yet, so this is the name of who starts it. */
	bpf_get_current_comm(comm, sizeof(comm));

	bpf_printk("Hello from PID %d: %s starts a program", pid, comm);
	return 0;
}
