#include "attach/hooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/libbpf_log.h"
#include "system/kernel_names.h"

static const char *section_target(const struct program *program)
{
	const char *slash = strchr(program->section, '/');

	return slash ? slash + 1 : "";
}

static bool is_absent_error(int error)
{
	return error == -ENOENT || error == -ESRCH;
}

/* A hook that is called like the program itself is mostly a place for what its loader chooses. */
static int give_up(struct program *program, const char *what, const char *name, const struct near_names *near)
{
	bool placeholder = !strcmp(name, program->name) && !near->exact;
	char nearby[sizeof(near->best) + 40];

	program->absent = true;
	program_set(program, PROGRAM_SKIPPED, "this kernel has no %s %s%s%s", what, name,
		    near_names_text(near, nearby, sizeof(nearby)),
		    placeholder ? "; if its own loader chooses one, --attach-to NAME does" : "");
	libbpf_log_clear();
	return 0;
}

struct probe {
	char function[128];
	size_t offset;
	bool on_return;
};

static int try_kprobe(struct program *program, const struct probe *probe, const char *function)
{
	LIBBPF_OPTS(bpf_kprobe_opts, opts, .retprobe = probe->on_return, .offset = probe->offset);

	snprintf(program->target, sizeof(program->target), probe->offset ? "%s+%zu" : "%s", function, probe->offset);
	program->link = bpf_program__attach_kprobe_opts(program->bpf, function, &opts);
	if (!program->link)
		return -errno;
	libbpf_log_clear(); /* of the names tried before */
	return 0;
}

static int try_system_call(struct program *program, const struct probe *probe)
{
	char function[sizeof(probe->function) + 16];

	return system_call_function(probe->function, function, sizeof(function)) ?
		       try_kprobe(program, probe, function) : -ENOENT;
}

static int try_copy(struct program *program, const struct probe *probe)
{
	struct near_names near = { .wanted = probe->function };
	char copy[256];
	int error = -ENOENT;

	if (find_function_copy(probe->function, copy, sizeof(copy), &near))
		error = try_kprobe(program, probe, copy);
	if (!is_absent_error(error))
		return error;
	snprintf(program->target, sizeof(program->target), "%s", probe->function);
	return give_up(program, near.exact ? "way to probe its function" : "function", probe->function, &near);
}

static struct probe parse_probe(const struct program *program)
{
	struct probe probe = { .on_return = strstr(program->section, "kretprobe") };
	const char *target = section_target(program);
	const char *plus = strchr(target, '+');

	snprintf(probe.function, sizeof(probe.function), "%.*s", (int)strcspn(target, "+"), target);
	probe.offset = plus ? strtoul(plus + 1, NULL, 0) : 0;
	return probe;
}

static int try_function(struct program *program, const struct probe *probe)
{
	int error = *probe->function ? try_kprobe(program, probe, probe->function) : -ENOENT;

	return is_absent_error(error) ? try_system_call(program, probe) : error;
}

int attach_kprobe(struct run *run, struct program *program)
{
	struct probe probe = parse_probe(program);
	int error = try_function(program, &probe);

	if (is_absent_error(error) && run->options.attach_to) {
		snprintf(probe.function, sizeof(probe.function), "%s", run->options.attach_to);
		error = try_function(program, &probe);
	}
	if (!*probe.function)
		return -EOPNOTSUPP;
	if (is_absent_error(error))
		error = try_copy(program, &probe);
	if (error == -EADDRNOTAVAIL)
		program_set(program, PROGRAM_FAILED, "several functions of this kernel are called %s, and a kprobe "
						     "cannot say which", probe.function);
	return error == -EADDRNOTAVAIL ? 0 : error;
}

static int try_tracepoint(struct program *program, const char *group, const char *name)
{
	snprintf(program->target, sizeof(program->target), "%s/%s", group, name);
	program->link = bpf_program__attach_tracepoint(program->bpf, group, name);
	return program->link ? 0 : -errno;
}

static int attach_tracepoint_at(struct program *program, const char *target)
{
	const char *slash = strchr(target, '/');
	const char *name = slash ? slash + 1 : target;
	struct near_names near = { .wanted = name };
	char group[128];
	int error = -ENOENT;

	if (!*name)
		return -EOPNOTSUPP;
	snprintf(group, sizeof(group), "%.*s", slash ? (int)(slash - target) : 0, target);
	if (*group)
		error = try_tracepoint(program, group, name);
	if (is_absent_error(error) && find_tracepoint_group(name, group, sizeof(group), &near)) {
		libbpf_log_clear();
		error = try_tracepoint(program, group, name);
	}
	if (!is_absent_error(error))
		return error;
	snprintf(program->target, sizeof(program->target), "%s", target);
	return give_up(program, "tracepoint", target, &near);
}

/* Where the section says, or else where --attach-to does. */
static int attach_there_or(struct run *run, struct program *program,
			   int (*attach_at)(struct program *program, const char *target))
{
	int error = attach_at(program, section_target(program));

	if (!run->options.attach_to || (!program->absent && error != -EOPNOTSUPP))
		return error;
	program->absent = false;
	program_set(program, PROGRAM_PENDING, "%s", "");
	return attach_at(program, run->options.attach_to);
}

int attach_tracepoint(struct run *run, struct program *program)
{
	return attach_there_or(run, program, attach_tracepoint_at);
}

static int attach_raw_tracepoint_at(struct program *program, const char *target)
{
	const char *slash = strrchr(target, '/');
	const char *name = slash ? slash + 1 : target;
	struct near_names near = { .wanted = name };
	char group[128];

	if (!*name)
		return -EOPNOTSUPP;
	snprintf(program->target, sizeof(program->target), "%s", name);
	program->link = bpf_program__attach_raw_tracepoint(program->bpf, name);
	if (program->link || !is_absent_error(-errno))
		return program->link ? 0 : -errno;
	find_tracepoint_group(name, group, sizeof(group), &near);
	return give_up(program, "raw tracepoint", name, &near);
}

int attach_raw_tracepoint(struct run *run, struct program *program)
{
	return attach_there_or(run, program, attach_raw_tracepoint_at);
}
