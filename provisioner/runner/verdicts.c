#include "verdicts.h"

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <unistd.h>

/* Return values run from -1 (TC_ACT_UNSPEC); others share the last place. */
#define PLACES 16
#define FIRST_VALUE (-1)

static const char *const XDP_NAMES[] = { "XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT" };
static const char *const TC_NAMES[] = { "TC_ACT_OK",	 "TC_ACT_RECLASSIFY", "TC_ACT_SHOT",   "TC_ACT_PIPE",	  "TC_ACT_STOLEN",
					"TC_ACT_QUEUED", "TC_ACT_REPEAT",     "TC_ACT_REDIRECT", "TC_ACT_TRAP" };

static bool has_verdicts(const struct program *program)
{
	return program->type == BPF_PROG_TYPE_XDP || program->type == BPF_PROG_TYPE_SCHED_CLS;
}

/* The BTF id of the program's own function, by which an fexit program finds it; 0 when it has none. */
static __u32 find_function(int program_fd)
{
	struct bpf_prog_info info = {};
	struct bpf_func_info function = {};
	__u32 size = sizeof(info);

	info.nr_func_info = 1;
	info.func_info_rec_size = sizeof(function);
	info.func_info = (unsigned long)&function;
	if (bpf_obj_get_info_by_fd(program_fd, &info, &size) || !info.nr_func_info)
		return 0;
	return function.type_id;
}

#define INSN(op, dst, src, offset, value) \
	((struct bpf_insn){ .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (offset), .imm = (value) })

/*
 * fexit(ctx): index = ctx->return_value - FIRST_VALUE; counts[min(index, last)]++
 * The context of fexit holds the arguments, of which XDP and tc programs have one, then the return value.
 */
static int load_counter(int program_fd, __u32 function_id, int map_fd)
{
	const struct bpf_insn code[] = {
		INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_2, BPF_REG_1, 8, 0),
		INSN(BPF_ALU | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -FIRST_VALUE),
		INSN(BPF_JMP | BPF_JLT | BPF_K, BPF_REG_2, 0, 1, PLACES - 1),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, PLACES - 1),
		INSN(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_2, -4, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
		INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_fd),
		INSN(0, 0, 0, 0, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, BPF_REG_1, 0, BPF_ADD),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FEXIT,
		    .attach_prog_fd = program_fd, .attach_btf_id = function_id);

	return bpf_prog_load(BPF_PROG_TYPE_TRACING, "verdicts", "GPL", code, sizeof(code) / sizeof(code[0]), &opts);
}

static int hook(int program_fd, __u32 function_id, int map_fd)
{
	int counter_fd = load_counter(program_fd, function_id, map_fd);
	int link_fd = counter_fd < 0 ? -1 : bpf_raw_tracepoint_open(NULL, counter_fd);

	if (counter_fd >= 0)
		close(counter_fd); /* the link keeps it */
	return link_fd;
}

void verdicts_watch(struct program *program)
{
	int program_fd = bpf_program__fd(program->bpf);
	__u32 function_id = has_verdicts(program) ? find_function(program_fd) : 0;

	if (!function_id)
		return;
	program->verdicts_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "verdicts", 4, 8, PLACES, NULL);
	program->verdicts_link_fd = hook(program_fd, function_id, program->verdicts_fd);
	if (program->verdicts_link_fd < 0)
		verdicts_close(program);
}

static const char *verdict_name(const struct program *program, int value)
{
	bool xdp = program->type == BPF_PROG_TYPE_XDP;
	size_t known = xdp ? sizeof(XDP_NAMES) / sizeof(XDP_NAMES[0]) : sizeof(TC_NAMES) / sizeof(TC_NAMES[0]);

	if (value >= 0 && (size_t)value < known)
		return xdp ? XDP_NAMES[value] : TC_NAMES[value];
	return value == TC_ACT_UNSPEC && !xdp ? "TC_ACT_UNSPEC" : NULL;
}

void verdicts_put(struct json *json, const struct program *program)
{
	__u64 count, other = 0;

	if (program->verdicts_fd < 0)
		return;
	json_key(json, "verdicts");
	json_open(json, '{');
	for (__u32 place = 0; place < PLACES; place++) {
		const char *name = verdict_name(program, (int)place + FIRST_VALUE);

		if (bpf_map_lookup_elem(program->verdicts_fd, &place, &count) || !count)
			continue;
		if (name)
			json_put_unsigned(json, name, count);
		else
			other += count;
	}
	if (other)
		json_put_unsigned(json, "other", other);
	json_close(json, '}');
}

void verdicts_close(struct program *program)
{
	if (program->verdicts_link_fd >= 0)
		close(program->verdicts_link_fd);
	if (program->verdicts_fd >= 0)
		close(program->verdicts_fd);
	program->verdicts_link_fd = program->verdicts_fd = -1;
}
