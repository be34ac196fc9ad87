#include "show/verdicts.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/netfilter.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "show/counter.h"

/* Return values run from -1 (TC_ACT_UNSPEC) to 129 (BPF_FLOW_DISSECTOR_CONTINUE); others share the last place. */
#define FIRST_VALUE (-1)
#define PLACES 132

#define VERDICT_AS(value, name) [(value) - FIRST_VALUE] = (name)
#define VERDICT(value) VERDICT_AS(value, #value)
#define ALLOWING VERDICT_AS(0, "denied"), VERDICT_AS(1, "allowed")

/* What return values mean: the first line that fits decides; a program without one decides nothing by its value. */
static const struct vocabulary {
	enum bpf_prog_type type;
	const char *section;	/* prefix, NULL: any */
	const char *names[PLACES - 1];
} VOCABULARIES[] = {
	{ BPF_PROG_TYPE_XDP, NULL,
	  { VERDICT(XDP_ABORTED), VERDICT(XDP_DROP), VERDICT(XDP_PASS), VERDICT(XDP_TX), VERDICT(XDP_REDIRECT) } },
	/* Numbers, as headers before Linux 6.6 and 6.7 do not have the names. */
	{ BPF_PROG_TYPE_SCHED_CLS, "tcx",
	  { VERDICT_AS(-1, "TCX_NEXT"), VERDICT_AS(0, "TCX_PASS"), VERDICT_AS(2, "TCX_DROP"),
	    VERDICT_AS(7, "TCX_REDIRECT") } },
	{ BPF_PROG_TYPE_SCHED_CLS, "netkit",
	  { VERDICT_AS(-1, "NETKIT_NEXT"), VERDICT_AS(0, "NETKIT_PASS"), VERDICT_AS(2, "NETKIT_DROP"),
	    VERDICT_AS(7, "NETKIT_REDIRECT") } },
	{ BPF_PROG_TYPE_SCHED_CLS, NULL,
	  { VERDICT(TC_ACT_UNSPEC), VERDICT(TC_ACT_OK), VERDICT(TC_ACT_RECLASSIFY), VERDICT(TC_ACT_SHOT),
	    VERDICT(TC_ACT_PIPE), VERDICT(TC_ACT_STOLEN), VERDICT(TC_ACT_QUEUED), VERDICT(TC_ACT_REPEAT),
	    VERDICT(TC_ACT_REDIRECT), VERDICT(TC_ACT_TRAP) } },
	/* A stream parser returns a length. */
	{ BPF_PROG_TYPE_SK_SKB, "sk_skb/stream_verdict", { VERDICT(SK_DROP), VERDICT(SK_PASS) } },
	{ BPF_PROG_TYPE_SK_SKB, "sk_skb/verdict", { VERDICT(SK_DROP), VERDICT(SK_PASS) } },
	{ BPF_PROG_TYPE_SK_MSG, NULL, { VERDICT(SK_DROP), VERDICT(SK_PASS) } },
	{ BPF_PROG_TYPE_SK_LOOKUP, NULL, { VERDICT(SK_DROP), VERDICT(SK_PASS) } },
	{ BPF_PROG_TYPE_SK_REUSEPORT, NULL, { VERDICT(SK_DROP), VERDICT(SK_PASS) } },
	{ BPF_PROG_TYPE_FLOW_DISSECTOR, NULL,
	  { VERDICT(BPF_OK), VERDICT(BPF_DROP), VERDICT_AS(129, "BPF_FLOW_DISSECTOR_CONTINUE") } },
	{ BPF_PROG_TYPE_LWT_IN, NULL, { VERDICT(BPF_OK), VERDICT(BPF_DROP), VERDICT(BPF_LWT_REROUTE) } },
	{ BPF_PROG_TYPE_LWT_OUT, NULL, { VERDICT(BPF_OK), VERDICT(BPF_DROP), VERDICT(BPF_LWT_REROUTE) } },
	{ BPF_PROG_TYPE_LWT_XMIT, NULL,
	  { VERDICT(BPF_OK), VERDICT(BPF_DROP), VERDICT(BPF_REDIRECT), VERDICT(BPF_LWT_REROUTE) } },
	{ BPF_PROG_TYPE_LWT_SEG6LOCAL, NULL, { VERDICT(BPF_OK), VERDICT(BPF_DROP), VERDICT(BPF_REDIRECT) } },
	{ BPF_PROG_TYPE_CGROUP_SKB, NULL,
	  { ALLOWING, VERDICT_AS(2, "denied, congested"), VERDICT_AS(3, "allowed, congested") } },
	{ BPF_PROG_TYPE_CGROUP_SOCK, NULL, { ALLOWING } },
	{ BPF_PROG_TYPE_CGROUP_SOCK_ADDR, NULL, { ALLOWING, VERDICT_AS(3, "allowed, privileged") } },
	{ BPF_PROG_TYPE_CGROUP_SOCKOPT, NULL, { ALLOWING } },
	{ BPF_PROG_TYPE_CGROUP_SYSCTL, NULL, { ALLOWING } },
	{ BPF_PROG_TYPE_CGROUP_DEVICE, NULL, { ALLOWING } },
#if HAVE_LIBBPF(1, 3)
	{ BPF_PROG_TYPE_NETFILTER, NULL, { VERDICT(NF_DROP), VERDICT(NF_ACCEPT) } },
#endif
};

static const char *const *find_names(const struct program *program)
{
	for (size_t i = 0; i < sizeof(VOCABULARIES) / sizeof(VOCABULARIES[0]); i++)
		if (VOCABULARIES[i].type == program->type &&
		    (!VOCABULARIES[i].section || section_under(program->section, VOCABULARIES[i].section)))
			return VOCABULARIES[i].names;
	return NULL;
}

/* The BTF id of the program's own function, by which an fexit program finds it; 0 when it has none. */
static __u32 find_function(int fd)
{
	struct bpf_prog_info info = {};
	struct bpf_func_info function = {};
	__u32 size = sizeof(info);

	info.nr_func_info = 1;
	info.func_info_rec_size = sizeof(function);
	info.func_info = (unsigned long)&function;
	if (bpf_obj_get_info_by_fd(fd, &info, &size) || !info.nr_func_info)
		return 0;
	return function.type_id;
}

/*
 * fexit(ctx): bpf_get_func_ret(ctx, &value); index = (u32)value - FIRST_VALUE; counts[min(index, last)]++
 * The helper (Linux 5.17) and not a place in ctx: where the return value lies there depends on how many arguments
 * the kernel believes the program to have, five when its BTF does not show the context's own type.
 */
static int count_verdicts(int fd, __u32 function_id, int counts_fd)
{
	const struct bpf_insn code[] = {
		STACK(BPF_REG_2, -8),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_func_ret),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_2, BPF_REG_10, -8, 0),
		INSN(BPF_ALU | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -FIRST_VALUE),
		INSN(BPF_JMP | BPF_JLT | BPF_K, BPF_REG_2, 0, 1, PLACES - 1),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, PLACES - 1),
		INSN(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_2, -8, 0),
		COUNT_UP(-8, counts_fd),
		RETURN_NOTHING,
	};

	return counter_hook("verdicts", code, sizeof(code) / sizeof(code[0]), fd, function_id);
}

/* A kernel that is locked down takes network programs, but no tracing ones. */
static void say_uncounted(int error)
{
	static bool said;

	if (!said)
		message_log("note", "verdicts are not counted, this kernel refuses the program that would: %s",
			    strerror(-error));
	said = true;
}

static void unwatch(struct program *program)
{
	if (program->verdicts_link_fd >= 0)
		close(program->verdicts_link_fd);
	if (program->verdicts_fd >= 0)
		close(program->verdicts_fd);
	program->verdicts_link_fd = program->verdicts_fd = -1;
}

void verdicts_watch(struct program *program)
{
	int fd = loaded_fd(program);
	__u32 function_id = find_names(program) ? find_function(fd) : 0;

	if (!function_id)
		return;
	program->verdicts_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "verdicts", 4, 8, PLACES, NULL);
	program->verdicts_link_fd = count_verdicts(fd, function_id, program->verdicts_fd);
	if (program->verdicts_link_fd < 0) {
		say_uncounted(program->verdicts_link_fd);
		unwatch(program);
	}
}

/* Returns how many places were read: all, or none. */
static __u32 read_counts(int fd, __u64 *counts)
{
	__u32 keys[PLACES], next, count = PLACES;

	/* -ENOENT only tells that this was the last batch. */
	if (bpf_map_lookup_batch(fd, NULL, &next, keys, counts, &count, NULL) && errno != ENOENT)
		return 0;
	return count;
}

__u64 verdicts_total(const struct program *program)
{
	__u64 counts[PLACES], total = 0;
	__u32 count = program->verdicts_fd < 0 ? 0 : read_counts(program->verdicts_fd, counts);

	for (__u32 place = 0; place < count; place++)
		total += counts[place];
	return total;
}

void verdicts_put(struct json *json, const struct program *program)
{
	const char *const *names = find_names(program);
	__u64 counts[PLACES], other = 0;
	__u32 count;

	if (program->verdicts_fd < 0)
		return;
	count = read_counts(program->verdicts_fd, counts);
	json_key(json, "verdicts");
	json_open(json, '{');
	for (__u32 place = 0; place < count; place++) {
		if (place < PLACES - 1 && names[place] && counts[place])
			json_put_unsigned(json, names[place], counts[place]);
		else
			other += counts[place];
	}
	if (other)
		json_put_unsigned(json, "other", other);
	json_close(json, '}');
}
