#include "attach/attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach/cgroups.h"
#include "attach/hooks.h"
#include "attach/iterators.h"
#include "attach/lirc.h"
#include "attach/lsm.h"
#include "attach/network.h"
#include "attach/redirect.h"
#include "attach/routes.h"
#include "attach/sampling.h"
#include "attach/sockets.h"
#include "attach/sockmap.h"
#include "attach/struct_ops.h"
#include "attach/syscalls.h"
#include "attach/uprobes.h"
#include "load/foreign.h"
#include "load/libbpf_log.h"
#include "message.h"
#include "show/verdicts.h"

static int attach_by_section(struct run *run, struct program *program)
{
	const char *target = strchr(program->section, '/');

	(void)run;
	if (target && !program->extends && !*program->target)
		snprintf(program->target, sizeof(program->target), "%s", target + 1);
	program->link = bpf_program__attach(program->bpf);
	return program->link ? 0 : -errno;
}

/*
 * How programs are attached: the first rule that fits decides. A rule without a function explains itself in .reason.
 * To support another type, write its function and put a line here.
 */
static const struct rule {
	enum bpf_prog_type type;
	const char *section; /* prefix, NULL: any */
	bool needs_device;
	int (*attach)(struct run *run, struct program *program); /* 0 or a negative errno */
	const char *reason;
} RULES[] = {
	{ BPF_PROG_TYPE_XDP, "xdp/devmap", true, attach_devmap, NULL },
	{ BPF_PROG_TYPE_XDP, "xdp.frags/devmap", true, attach_devmap, NULL },
	{ BPF_PROG_TYPE_XDP, "xdp/cpumap", true, attach_cpumap, NULL },
	{ BPF_PROG_TYPE_XDP, "xdp.frags/cpumap", true, attach_cpumap, NULL },
	{ BPF_PROG_TYPE_XDP, NULL, true, attach_xdp, NULL },
#if HAVE_LIBBPF(1, 3)
	{ BPF_PROG_TYPE_SCHED_CLS, "netkit", true, attach_netkit, NULL },
	{ BPF_PROG_TYPE_NETFILTER, NULL, true, attach_netfilter, NULL },
#endif
	{ BPF_PROG_TYPE_SCHED_CLS, "tcx", true, attach_tcx, NULL },
	{ BPF_PROG_TYPE_SCHED_CLS, NULL, true, attach_tc, NULL },
	{ BPF_PROG_TYPE_LSM, "lsm_cgroup", false, attach_lsm_cgroup, NULL },
	{ BPF_PROG_TYPE_LSM, NULL, false, attach_lsm, NULL },
	{ BPF_PROG_TYPE_CGROUP_SKB, NULL, false, attach_cgroup, NULL },
	{ BPF_PROG_TYPE_CGROUP_SOCK, NULL, false, attach_cgroup, NULL },
	{ BPF_PROG_TYPE_CGROUP_SOCK_ADDR, NULL, false, attach_cgroup, NULL },
	{ BPF_PROG_TYPE_CGROUP_SOCKOPT, NULL, false, attach_cgroup, NULL },
	{ BPF_PROG_TYPE_CGROUP_SYSCTL, NULL, false, attach_cgroup, NULL },
	{ BPF_PROG_TYPE_CGROUP_DEVICE, NULL, false, attach_cgroup, NULL },
	{ BPF_PROG_TYPE_SOCK_OPS, NULL, false, attach_cgroup, NULL },
	{ BPF_PROG_TYPE_KPROBE, "uprobe", false, attach_uprobe, NULL },
	{ BPF_PROG_TYPE_KPROBE, "uretprobe", false, attach_uprobe, NULL },
	{ BPF_PROG_TYPE_KPROBE, "usdt", false, attach_usdt, NULL },
	{ BPF_PROG_TYPE_KPROBE, "kprobe.multi", false, attach_by_section, NULL },
	{ BPF_PROG_TYPE_KPROBE, "kretprobe.multi", false, attach_by_section, NULL },
	{ BPF_PROG_TYPE_KPROBE, "kprobe.session", false, attach_by_section, NULL },
	{ BPF_PROG_TYPE_KPROBE, "kprobe", false, attach_kprobe, NULL },
	{ BPF_PROG_TYPE_KPROBE, "kretprobe", false, attach_kprobe, NULL },
	{ BPF_PROG_TYPE_KPROBE, NULL, false, attach_by_section, NULL },
	{ BPF_PROG_TYPE_TRACEPOINT, NULL, false, attach_tracepoint, NULL },
	{ BPF_PROG_TYPE_RAW_TRACEPOINT, NULL, false, attach_raw_tracepoint, NULL },
	{ BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, NULL, false, attach_raw_tracepoint, NULL },
	{ BPF_PROG_TYPE_TRACING, "iter", false, attach_iterator, NULL },
	{ BPF_PROG_TYPE_TRACING, NULL, false, attach_by_section, NULL },
	{ BPF_PROG_TYPE_EXT, NULL, false, attach_by_section, NULL },
	{ BPF_PROG_TYPE_LIRC_MODE2, NULL, false, attach_lirc, NULL },
	{ BPF_PROG_TYPE_PERF_EVENT, NULL, false, attach_perf_event, NULL },
	{ BPF_PROG_TYPE_SOCKET_FILTER, NULL, true, attach_socket_filter, NULL },
	{ BPF_PROG_TYPE_SK_LOOKUP, NULL, true, attach_sk_lookup, NULL },
	{ BPF_PROG_TYPE_FLOW_DISSECTOR, NULL, true, attach_flow_dissector, NULL },
	{ BPF_PROG_TYPE_SK_REUSEPORT, NULL, true, attach_sk_reuseport, NULL },
	{ BPF_PROG_TYPE_LWT_IN, NULL, true, attach_lwt, NULL },
	{ BPF_PROG_TYPE_LWT_OUT, NULL, true, attach_lwt, NULL },
	{ BPF_PROG_TYPE_LWT_XMIT, NULL, true, attach_lwt, NULL },
	{ BPF_PROG_TYPE_LWT_SEG6LOCAL, NULL, true, attach_lwt, NULL },
	{ BPF_PROG_TYPE_SK_SKB, NULL, false, attach_sockmap, NULL },
	{ BPF_PROG_TYPE_SK_MSG, NULL, false, attach_sockmap, NULL },
	{ BPF_PROG_TYPE_STRUCT_OPS, NULL, false, attach_struct_ops, NULL },
	{ BPF_PROG_TYPE_SYSCALL, NULL, false, attach_syscall, NULL },
};

static const struct rule NO_RULE = { .reason = "programs of this type are not supported yet" };

static const struct rule *find_rule(const struct program *program)
{
	for (size_t i = 0; i < sizeof(RULES) / sizeof(RULES[0]); i++)
		if (RULES[i].type == program->type &&
		    (!RULES[i].section || section_under(program->section, RULES[i].section)))
			return &RULES[i];
	return &NO_RULE;
}

bool needs_device(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_PENDING && find_rule(&run->programs[i])->needs_device)
			return true;
	return struct_ops_need_device(run);
}

bool wants_netkit(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_PENDING && section_under(run->programs[i].section, "netkit"))
			return true;
	return false;
}

static const char *target_kind(const struct program *program)
{
	if (program->type == BPF_PROG_TYPE_TRACEPOINT || program->type == BPF_PROG_TYPE_RAW_TRACEPOINT)
		return "tracepoint";
	if (section_under(program->section, "ksyscall") || section_under(program->section, "kretsyscall"))
		return "system call";
	return "function that can be probed";
}

/* perf_event_open and libbpf answer with these for a kernel function or tracepoint that does not exist. */
static bool means_absent(const struct program *program, int error)
{
	bool named = program->type == BPF_PROG_TYPE_KPROBE || program->type == BPF_PROG_TYPE_TRACEPOINT ||
		     program->type == BPF_PROG_TYPE_RAW_TRACEPOINT;

	return named && !is_user_probe(program) && (error == -ENOENT || error == -EADDRNOTAVAIL || error == -ESRCH);
}

/* libbpf's own explanation, without "prog 'NAME': ", which the reader knows. */
static const char *libbpf_words(void)
{
	const char *line = libbpf_log_last_line();
	const char *end = strncmp(line, "prog '", 6) ? NULL : strstr(line, "': ");

	return end ? end + 3 : line;
}

static void explain(struct program *program, int error)
{
	const char *words = libbpf_words();

	if (error == -EOPNOTSUPP && !*program->target) {
		program_set(program, PROGRAM_SKIPPED,
			    "its section \"%s\" does not say what to attach to; --attach-to NAME does",
			    program->section);
	} else if (means_absent(program, error)) {
		program->absent = true;
		program_set(program, PROGRAM_SKIPPED, "there is no %s %s", target_kind(program), program->target);
	} else {
		program_set(program, PROGRAM_FAILED, "%s", *words ? words : strerror(-error));
	}
	libbpf_log_clear();
}

/* Only now: where one program counts another's verdicts, a third cannot replace it. */
static void watch_verdicts(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_ATTACHED)
			verdicts_watch(&run->programs[i]);
}

static void attach_program(struct run *run, struct program *program)
{
	const struct rule *rule = find_rule(program);
	int error;

	if (!rule->attach) {
		program_set(program, PROGRAM_SKIPPED, "%s", rule->reason);
		return;
	}
	if (rule->needs_device && !run->device_index) {
		program_set(program, PROGRAM_FAILED, "there is no network device to attach to");
		return;
	}
	error = rule->attach(run, program);
	if (error) {
		explain(program, error);
	} else if (program->state == PROGRAM_PENDING) {
		program->state = PROGRAM_ATTACHED;
	}
}

size_t count_attached(const struct run *run)
{
	size_t count = struct_ops_count_bare();

	for (size_t i = 0; i < run->program_count; i++)
		count += run->programs[i].state == PROGRAM_ATTACHED;
	return count;
}

/* A target that is missing is an alternative not taken, unless nothing else was taken. */
static void fail_absent(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].absent)
			run->programs[i].state = PROGRAM_FAILED;
}

int loaded_fd(const struct program *program)
{
	return program->foreign_fd >= 0 ? program->foreign_fd : bpf_program__fd(program->bpf);
}

static void put_counts(struct json *json, const struct program *program)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(loaded_fd(program), &info, &size))
		return;
	/* The kernel does not count the runs of a program that another one calls, as libxdp's dispatcher does. */
	if (info.type == BPF_PROG_TYPE_EXT && program->verdicts_fd >= 0)
		info.run_cnt = verdicts_total(program);
	json_put_unsigned(json, "run_count", info.run_cnt);
	json_put_unsigned(json, "run_time_ns", info.run_time_ns);
	verdicts_put(json, program);
}

void say_program(const struct program *program, bool with_counts)
{
	static const char *const states[] = { "skipped", "attached", "skipped", "failed" };
	struct json *json = message_begin("program");

	json_put_string(json, "name", program->name);
	json_put_string(json, "section", program->section);
	json_put_string(json, "program_type", libbpf_bpf_prog_type_str(program->type));
	json_put_string(json, "state", states[program->state]);
	json_put_string(json, "target", *program->target ? program->target : NULL);
	json_put_string(json, "reason", *program->reason ? program->reason : NULL);
	if (with_counts)
		put_counts(json, program);
	message_end();
}

static size_t list_reasons(const struct run *run, bool failed_only, char *text, size_t size)
{
	size_t used = 0, count = 0;

	*text = '\0';
	for (size_t i = 0; i < run->program_count && used < size; i++) {
		const struct program *program = &run->programs[i];

		if (!program->is_wanted || program->state == PROGRAM_ATTACHED ||
		    (failed_only && program->state != PROGRAM_FAILED))
			continue;
		used += snprintf(text + used, size - used, "%s%s (section %s): %s", count++ ? "\n" : "",
				 program->name, program->section, program->reason);
	}
	return count;
}

static int report_failures(const struct run *run)
{
	bool nothing = !count_attached(run);
	char details[4096];
	char brief[sizeof(details) + 32];
	size_t count = list_reasons(run, !nothing, details, sizeof(details));

	if (!nothing && !count)
		return EXIT_OK;
	if (!run->program_count)
		snprintf(brief, sizeof(brief), "the object holds no program");
	else if (count == 1)
		snprintf(brief, sizeof(brief), "cannot attach %s", details);
	else
		snprintf(brief, sizeof(brief), nothing ? "none of the %zu programs could be attached" :
							 "%zu programs could not be attached", count);
	message_error(&(struct error_report){
		.code = "attach-failed",
		.brief = brief,
		.details = details,
		.hint = run->program_count ? "Check the targets in the SEC(\"...\") lines against this kernel." :
					     "Name a hook before a function: SEC(\"xdp\"), SEC(\"tp/sched/...\"), ...",
	});
	return EXIT_ATTACH;
}

static int say_attached(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		say_program(&run->programs[i], false);
	libbpf_log_forward();
	return report_failures(run);
}

static void attach_pending(struct run *run, bool judging_bpf)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_PENDING && judges_bpf(&run->programs[i]) == judging_bpf)
			attach_program(run, &run->programs[i]);
}

int attach_programs(struct run *run)
{
	int error;

	attach_pending(run, false);
	error = struct_ops_attach_bare(run);
	watch_verdicts(run);
	attach_pending(run, true); /* from then on bpf() may be denied to us */
	if (!count_attached(run))
		fail_absent(run);
	return error ? EXIT_ATTACH : say_attached(run);
}

int attach_foreign(struct run *run)
{
	watch_verdicts(run);
	return say_attached(run);
}

void detach_programs(struct run *run)
{
	lirc_detach();
	network_detach();
	sampling_detach();
	struct_ops_detach();
	sockets_detach();
	for (size_t i = 0; i < run->program_count; i++) {
		struct program *program = &run->programs[i];

		bpf_link__destroy(program->link);
		program->link = NULL;
		if (program->link_fd >= 0)
			close(program->link_fd);
		program->link_fd = -1;
	}
	foreign_unload(run);
}
