#include "show/counter.h"

#include <unistd.h>

int counter_hook(const char *name, const struct bpf_insn *code, size_t length, int program_fd, int function_id)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FEXIT,
		    .attach_prog_fd = program_fd, .attach_btf_id = function_id);
	int fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, name, "GPL", code, length, &opts);
	int link = fd < 0 ? fd : bpf_raw_tracepoint_open(NULL, fd);

	if (fd >= 0)
		close(fd); /* the link keeps it */
	return link;
}
