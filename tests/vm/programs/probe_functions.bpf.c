/* Probes of user space in every spelling of a section; each says where it runs by its own name. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define PROBE(section, name) \
	SEC(section) int name(void *ctx) \
	{ \
		return 0; \
	}

PROBE("uprobe//bin/bash:readline", whole_path)
PROBE("uprobe/libc.so.6:malloc", library_name)
PROBE("uretprobe/bash:readline", program_name)
PROBE("uprobe/libc:malloc+4", with_offset)
PROBE("uprobe.s/libc:free", sleepable)
PROBE("uprobe/getaddrinfo", function_only)
PROBE("uretprobe/bash_readline", binary_and_function)
PROBE("uprobe", malloc_enter)
PROBE("uretprobe", handle_calloc_exit)
PROBE("uprobe/nobody_has_this_function", nowhere)
PROBE("uprobe/./not_here:main", no_file)
PROBE("uprobe/bash:no_such_function", no_function)
PROBE("uprobe//proc/self/exe:main", of_its_loader)
PROBE("uprobe", unsaid)
