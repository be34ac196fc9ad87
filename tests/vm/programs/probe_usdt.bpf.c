/* A USDT probe of libc, named in full, without its file, and by its name alone. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "GPL";

int hits;

SEC("usdt/libc.so.6:libc:setjmp")
int BPF_USDT(in_full, void *jump, int value)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("usdt/libc:setjmp")
int BPF_USDT(without_file, void *jump, int value)
{
	return 0;
}

SEC("usdt/setjmp")
int BPF_USDT(name_only, void *jump, int value)
{
	return 0;
}

SEC("usdt")
int BPF_USDT(nothing_said)
{
	return 0;
}

SEC("usdt/libc:no_such_probe")
int BPF_USDT(not_there)
{
	return 0;
}
