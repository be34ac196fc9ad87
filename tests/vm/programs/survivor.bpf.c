/* Counts getpgid calls, for the tests to see that an attached program outlives a resume. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

unsigned long long calls;

SEC("tracepoint/syscalls/sys_enter_getpgid")
int count(void *ctx)
{
	__sync_fetch_and_add(&calls, 1);
	return 0;
}
