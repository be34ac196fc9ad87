#include "load/types.h"

#include <bpf/libbpf.h>

#include "util.h"

/* What a kernel needs for the types that many go without. */
static const struct {
	enum bpf_prog_type type;
	const char *needs;
} TYPE_NEEDS[] = {
	{ BPF_PROG_TYPE_LIRC_MODE2, "CONFIG_BPF_LIRC_MODE2, and an infrared receiver" },
	{ BPF_PROG_TYPE_SK_LOOKUP, "Linux 5.9" },
	{ BPF_PROG_TYPE_SYSCALL, "Linux 5.14" },
#if HAVE_LIBBPF(1, 3)
	{ BPF_PROG_TYPE_NETFILTER, "Linux 6.4 with CONFIG_NETFILTER_BPF_LINK" },
#endif
};

static const char *needs_of(enum bpf_prog_type type)
{
	for (size_t i = 0; i < COUNT(TYPE_NEEDS); i++)
		if (TYPE_NEEDS[i].type == type)
			return TYPE_NEEDS[i].needs;
	return "a newer one, or another configuration";
}

/* These are probed by what a refusal says, which proves nothing on a kernel that is locked down. */
static bool can_probe(enum bpf_prog_type type)
{
	return type != BPF_PROG_TYPE_TRACING && type != BPF_PROG_TYPE_EXT && type != BPF_PROG_TYPE_LSM &&
	       type != BPF_PROG_TYPE_STRUCT_OPS;
}

size_t skip_unknown_types(struct run *run)
{
	size_t skipped = 0;

	for (size_t i = 0; i < run->program_count; i++) {
		struct program *program = &run->programs[i];

		if (program->state != PROGRAM_PENDING || !can_probe(program->type) ||
		    libbpf_probe_bpf_prog_type(program->type, NULL))
			continue;
		program_set(program, PROGRAM_SKIPPED, "this kernel has no programs of type %s: that takes %s",
			    libbpf_bpf_prog_type_str(program->type), needs_of(program->type));
		skipped++;
	}
	return skipped;
}
