/* What is typed into bash. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

SEC("uretprobe/readline")
int BPF_KRETPROBE(line_read, const void *line)
{
	char text[64] = "";

	bpf_probe_read_user_str(text, sizeof(text), line);
	bpf_printk("typed: %s", text);
	return 0;
}
