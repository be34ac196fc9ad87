#include "load/extensions.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/load.h"
#include "load/verifier_log.h"
#include "system/kernel_btf.h"
#include "util.h"

/* What may trace a program, as far as their sections name a function. */
static const char *const TRACING_SECTIONS[] = { "fentry", "fexit", "fmod_ret", "fsession" };

/* Programs that run for events of their own, whose names are often those of the kernel functions they trace. */
static bool traces(enum bpf_prog_type type)
{
	return type == BPF_PROG_TYPE_TRACING || type == BPF_PROG_TYPE_KPROBE || type == BPF_PROG_TYPE_TRACEPOINT ||
	       type == BPF_PROG_TYPE_RAW_TRACEPOINT || type == BPF_PROG_TYPE_LSM || type == BPF_PROG_TYPE_PERF_EVENT;
}

static const char *function_named(const struct program *program)
{
	const char *slash = strchr(program->section, '/');

	return slash ? slash + 1 : "";
}

static bool traces_function(const struct program *program)
{
	for (size_t i = 0; i < COUNT(TRACING_SECTIONS); i++)
		if (section_under(program->section, TRACING_SECTIONS[i]))
			return true;
	return false;
}

static bool extends(const struct run *run, const struct program *program)
{
	const char *function = function_named(program);
	struct bpf_program *target;

	if (program->type == BPF_PROG_TYPE_EXT)
		return true;
	if (!traces_function(program))
		return false;
	if (run->options.attach_to)
		return !kernel_has(function, BTF_KIND_FUNC) && !kernel_has(run->options.attach_to, BTF_KIND_FUNC);
	target = bpf_object__find_program_by_name(run->object, function);
	return target && !traces(bpf_program__type(target));
}

void extensions_defer(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++) {
		struct program *program = &run->programs[i];

		program->extends = program->state == PROGRAM_PENDING && extends(run, program);
		if (program->extends)
			bpf_program__set_autoload(program->bpf, false);
	}
}

/* Whether a loaded program consists of, among others, the function; its own name is in *first, if wanted. */
static bool holds_function(int program_fd, const char *function, char *first, size_t size)
{
	struct bpf_func_info functions[256] = {};
	struct bpf_prog_info info = { .nr_func_info = COUNT(functions), .func_info_rec_size = sizeof(functions[0]),
				      .func_info = (unsigned long)functions };
	__u32 info_size = sizeof(info);
	struct btf *btf;
	bool found = false;

	if (bpf_obj_get_info_by_fd(program_fd, &info, &info_size) || !info.nr_func_info)
		return false;
	btf = btf__load_from_kernel_by_id(info.btf_id);
	for (__u32 i = 0; btf && i < info.nr_func_info && i < COUNT(functions); i++) {
		const struct btf_type *type = btf__type_by_id(btf, functions[i].type_id);
		const char *name = btf__name_by_offset(btf, type->name_off);

		found |= !strcmp(name, function);
		if (first && i == 0)
			snprintf(first, size, "%s", name);
	}
	btf__free(btf);
	return found;
}

/* The descriptor of a program that some process has loaded, by id or name; or a negative errno. */
static int find_loaded(const char *wanted)
{
	unsigned long wanted_id = strtoul(wanted, NULL, 10);
	__u32 id = 0;

	while (!bpf_prog_get_next_id(id, &id)) {
		int fd = bpf_prog_get_fd_by_id(id);
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		if (fd < 0)
			continue;
		/* The kernel keeps the first 15 characters of a name. */
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) &&
		    (id == wanted_id || !strncmp(info.name, wanted, sizeof(info.name) - 1)))
			return fd;
		close(fd);
	}
	return -ENOENT;
}

/* A descriptor of ours to close, or a negative errno. */
static int find_target(const struct run *run, const char *function)
{
	struct bpf_program *program;

	if (run->options.attach_to) {
		program = bpf_object__find_program_by_name(run->object, run->options.attach_to);
		return program && bpf_program__fd(program) >= 0 ? dup(bpf_program__fd(program)) :
								  find_loaded(run->options.attach_to);
	}
	bpf_object__for_each_program(program, run->object)
		if (bpf_program__fd(program) >= 0 && holds_function(bpf_program__fd(program), function, NULL, 0))
			return dup(bpf_program__fd(program));
	return -ENOENT;
}

static void skip_without_target(const struct run *run, struct program *program)
{
	if (run->options.attach_to)
		program_set(program, PROGRAM_SKIPPED, "no program \"%s\" is loaded, by name or id",
			    run->options.attach_to);
	else
		program_set(program, PROGRAM_SKIPPED,
			    "it extends a function \"%s\" of another BPF program; --attach-to names one that is loaded",
			    function_named(program));
}

/* The function named in the section if the target has it, else the target itself. */
static int aim(struct program *program, int target_fd)
{
	const char *function = function_named(program);
	char own[128] = "";
	bool has = holds_function(target_fd, function, own, sizeof(own));

	snprintf(program->target, sizeof(program->target), "%s%s%s", has ? function : own,
		 has && strcmp(function, own) ? " of " : "", has && strcmp(function, own) ? own : "");
	return bpf_program__set_attach_target(program->bpf, target_fd, has ? function : own);
}

static struct bpf_object *copy_object(const struct run *run)
{
	struct bpf_object *copy = open_image();
	struct bpf_program *program;
	struct bpf_map *map;

	if (!copy)
		return NULL;
	bpf_object__for_each_program(program, copy)
		bpf_program__set_autoload(program, false);
	bpf_object__for_each_map(map, copy) {
		const struct bpf_map *original = bpf_object__find_map_by_name(run->object, bpf_map__name(map));

		bpf_map__set_pin_path(map, NULL);
		if (original && bpf_map__fd(original) >= 0)
			bpf_map__reuse_fd(map, bpf_map__fd(original));
	}
	return copy;
}

/* Moves the program over to the copy and has it loaded there, if there is a target for it. */
static int adopt(struct run *run, struct program *program)
{
	int target_fd = find_target(run, function_named(program));

	if (target_fd < 0) {
		skip_without_target(run, program);
		return 0;
	}
	program->bpf = bpf_object__find_program_by_name(run->extensions, program->name);
	bpf_program__set_autoload(program->bpf, true);
	if (program->log)
		bpf_program__set_log_buf(program->bpf, program->log, VERIFIER_LOG_BYTES);
	program->target_fd = target_fd; /* libbpf keeps the number, not the descriptor */
	return aim(program, target_fd);
}

static bool any_extends(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].extends)
			return true;
	return false;
}

static void close_targets(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++) {
		if (run->programs[i].target_fd > 0)
			close(run->programs[i].target_fd);
		run->programs[i].target_fd = 0;
	}
}

int extensions_load(struct run *run)
{
	int error = 0;

	if (!any_extends(run))
		return 0;
	run->extensions = copy_object(run);
	if (!run->extensions)
		return -errno;
	for (size_t i = 0; i < run->program_count && !error; i++)
		if (run->programs[i].extends)
			error = adopt(run, &run->programs[i]);
	if (!error)
		error = bpf_object__load(run->extensions);
	close_targets(run);
	return error;
}
