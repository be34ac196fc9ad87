#include "load/targets.h"

#include <bpf/btf.h>
#include <stdio.h>
#include <string.h>

#include "system/kernel_btf.h"
#include "system/kernel_names.h"

/* Section prefixes whose target is found in BTF, and how the kernel spells it there. */
static const struct btf_hook {
	const char *section;
	const char *btf_prefix;
	__u32 kind;
	const char *what;
} HOOKS[] = {
	{ "fentry", "", BTF_KIND_FUNC, "function" },
	{ "fexit", "", BTF_KIND_FUNC, "function" },
	{ "fmod_ret", "", BTF_KIND_FUNC, "function" },
	{ "fsession", "", BTF_KIND_FUNC, "function" },
	{ "tp_btf", "btf_trace_", BTF_KIND_TYPEDEF, "tracepoint" },
	{ "lsm", "bpf_lsm_", BTF_KIND_FUNC, "LSM hook" },
	{ "lsm_cgroup", "bpf_lsm_", BTF_KIND_FUNC, "LSM hook" },
	{ "iter", "bpf_iter_", BTF_KIND_FUNC, "iterator" },
};

static const struct btf_hook *find_hook(const char *section)
{
	for (size_t i = 0; i < sizeof(HOOKS) / sizeof(HOOKS[0]); i++)
		if (section_under(section, HOOKS[i].section))
			return &HOOKS[i];
	return NULL;
}

static bool is_absent(const struct btf_hook *hook, const char *target)
{
	const char *module_end = strchr(target, ':'); /* "module:function" */
	char name[256];

	snprintf(name, sizeof(name), "%s%s", hook->btf_prefix, module_end ? module_end + 1 : target);
	return !kernel_has(name, hook->kind);
}

static void find_near(const struct btf_hook *hook, struct near_names *near)
{
	const struct btf *vmlinux = kernel_btf();
	size_t prefix = strlen(hook->btf_prefix);

	for (__u32 id = 1; id < btf__type_cnt(vmlinux); id++) {
		const struct btf_type *type = btf__type_by_id(vmlinux, id);
		const char *name = btf__name_by_offset(vmlinux, type->name_off);

		if (btf_kind(type) == hook->kind && !strncmp(name, hook->btf_prefix, prefix))
			near_names_consider(near, name + prefix);
	}
}

/* A static function may be missing in BTF, or be changed by the compiler; a kprobe needs no BTF (see hooks.h). */
static bool suggest_kprobe(struct program *program, const char *function)
{
	struct near_names near = { .wanted = function };
	char copy[128];
	bool copied = find_function_copy(function, copy, sizeof(copy), &near);

	if (copied)
		program_set(program, PROGRAM_SKIPPED, "this kernel's BTF has no function %s, of which the compiler made "
						      "%s; SEC(\"kprobe/%s\") finds that", function, copy, function);
	else if (near.exact)
		program_set(program, PROGRAM_SKIPPED, "the function %s is not in this kernel's BTF, which fentry and "
						      "fexit need; SEC(\"kprobe/%s\") does without", function, function);
	return copied || near.exact;
}

static void skip_absent(const struct btf_hook *hook, struct program *program, const char *target)
{
	struct near_names near = { .wanted = target };
	char nearby[sizeof(near.best) + 40];

	program->absent = true;
	snprintf(program->target, sizeof(program->target), "%s", target);
	if (!*hook->btf_prefix && suggest_kprobe(program, target))
		return;
	find_near(hook, &near);
	program_set(program, PROGRAM_SKIPPED, "this kernel's BTF has no %s %s%s", hook->what, target,
		    near_names_text(&near, nearby, sizeof(nearby)));
}

/* A system call's function under another architecture's name: the program goes to the one of this kernel. */
static bool retarget_system_call(const struct btf_hook *hook, struct program *program, const char *target)
{
	char function[128];

	if (strcmp(hook->what, "function") || !system_call_function(target, function, sizeof(function)) ||
	    is_absent(hook, function))
		return false;
	snprintf(program->target, sizeof(program->target), "%s", function);
	return program->retargeted = true;
}

/* Where --attach-to says, when the section only holds a place for it. */
static bool retarget_as_asked(const struct btf_hook *hook, struct program *program, const char *wanted)
{
	if (!wanted || strcmp(hook->what, "function") || is_absent(hook, wanted))
		return false;
	snprintf(program->target, sizeof(program->target), "%s", wanted);
	return program->retargeted = true;
}

static bool settle_target(struct program *program, const char *wanted)
{
	const struct btf_hook *hook = find_hook(program->section);
	const char *target = strchr(program->section, '/');

	if (!hook)
		return false;
	if (!target)
		program_set(program, PROGRAM_SKIPPED, "its section \"%s\" does not say what to attach to",
			    program->section);
	else if (is_absent(hook, target + 1) && !retarget_system_call(hook, program, target + 1) &&
		 !retarget_as_asked(hook, program, wanted))
		skip_absent(hook, program, target + 1);
	return program->retargeted || program->state == PROGRAM_SKIPPED;
}

size_t settle_absent_targets(struct run *run)
{
	size_t settled = 0;

	for (size_t i = 0; kernel_btf() && i < run->program_count; i++) {
		struct program *program = &run->programs[i];

		if (program->state == PROGRAM_PENDING && !program->extends && !program->retargeted)
			settled += settle_target(program, run->options.attach_to);
	}
	return settled;
}

void set_targets(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].retargeted)
			bpf_program__set_attach_target(run->programs[i].bpf, 0, run->programs[i].target);
}
