/* A USDT probe of the C++ library, named in full, without its file, and by its name alone. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "GPL";

SEC("usdt/libstdc++.so.6:libstdcxx:throw")
int BPF_USDT(in_full, void *object)
{
	return 0;
}

SEC("usdt/libstdcxx:throw")
int BPF_USDT(without_file)
{
	return 0;
}

SEC("usdt/throw")
int BPF_USDT(name_only)
{
	return 0;
}

SEC("usdt")
int BPF_USDT(nothing_said)
{
	return 0;
}

SEC("usdt/libstdcxx:no_such_probe")
int BPF_USDT(not_there)
{
	return 0;
}

SEC("usdt/libc.so.6:libc:setjmp")
int BPF_USDT(built_without)
{
	return 0;
}
