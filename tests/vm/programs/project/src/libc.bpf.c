/* No vmlinux.h: headers of libc and of the kernel's user space interface, and registers by name. */
#include <stdlib.h>
#include <string.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe/do_unlinkat")
int on_unlink(struct pt_regs *ctx)
{
	bpf_printk("first argument: %d", (int)PT_REGS_PARM1(ctx));
	return 0;
}
