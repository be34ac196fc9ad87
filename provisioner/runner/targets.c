#include "targets.h"

#include <bpf/btf.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "kernel_names.h"

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

/* What the running kernel says of itself; modules are read when the first name is not in the kernel proper. */
struct kernel_btf {
	struct btf *vmlinux;
	struct btf *modules[256];
	size_t module_count;
	bool modules_read;
};

static void read_modules(struct kernel_btf *kernel)
{
	DIR *directory = opendir("/sys/kernel/btf");
	struct dirent *entry;

	kernel->modules_read = true;
	while (directory && (entry = readdir(directory)) && kernel->module_count < 256) {
		struct btf *module = NULL;

		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "vmlinux"))
			module = btf__load_module_btf(entry->d_name, kernel->vmlinux);
		if (module)
			kernel->modules[kernel->module_count++] = module;
	}
	if (directory)
		closedir(directory);
}

static void free_kernel_btf(struct kernel_btf *kernel)
{
	for (size_t i = 0; i < kernel->module_count; i++)
		btf__free(kernel->modules[i]);
	btf__free(kernel->vmlinux);
}

static bool in_any_module(struct kernel_btf *kernel, const char *name, __u32 kind)
{
	__u32 first = btf__type_cnt(kernel->vmlinux);

	if (!kernel->modules_read)
		read_modules(kernel);
	for (size_t i = 0; i < kernel->module_count; i++) {
		const struct btf *module = kernel->modules[i];

		for (__u32 id = first; id < btf__type_cnt(module); id++) {
			const struct btf_type *type = btf__type_by_id(module, id);

			if (btf_kind(type) == kind && !strcmp(btf__name_by_offset(module, type->name_off), name))
				return true;
		}
	}
	return false;
}

static bool is_absent(struct kernel_btf *kernel, const struct btf_hook *hook, const char *target)
{
	const char *module_end = strchr(target, ':'); /* "module:function" */
	char name[256];

	snprintf(name, sizeof(name), "%s%s", hook->btf_prefix, module_end ? module_end + 1 : target);
	return btf__find_by_name_kind(kernel->vmlinux, name, hook->kind) < 0 &&
	       !in_any_module(kernel, name, hook->kind);
}

static void find_near(const struct btf *vmlinux, const struct btf_hook *hook, struct near_names *near)
{
	size_t prefix = strlen(hook->btf_prefix);

	for (__u32 id = 1; id < btf__type_cnt(vmlinux); id++) {
		const struct btf_type *type = btf__type_by_id(vmlinux, id);
		const char *name = btf__name_by_offset(vmlinux, type->name_off);

		if (btf_kind(type) == hook->kind && !strncmp(name, hook->btf_prefix, prefix))
			near_names_consider(near, name + prefix);
	}
}

static void skip_absent(const struct btf *vmlinux, const struct btf_hook *hook, struct program *program,
			const char *target)
{
	struct near_names near = { .wanted = target };
	char nearby[sizeof(near.best) + 40];

	find_near(vmlinux, hook, &near);
	program->absent = true;
	snprintf(program->target, sizeof(program->target), "%s", target);
	program_set(program, PROGRAM_SKIPPED, "this kernel's BTF has no %s %s%s", hook->what, target,
		    near_names_text(&near, nearby, sizeof(nearby)));
}

static bool skip_if_absent(struct kernel_btf *kernel, struct program *program)
{
	const struct btf_hook *hook = find_hook(program->section);
	const char *target = strchr(program->section, '/');

	if (!hook)
		return false;
	if (!target)
		program_set(program, PROGRAM_SKIPPED, "its section \"%s\" does not say what to attach to",
			    program->section);
	else if (is_absent(kernel, hook, target + 1))
		skip_absent(kernel->vmlinux, hook, program, target + 1);
	return program->state == PROGRAM_SKIPPED;
}

size_t skip_absent_targets(struct run *run)
{
	struct kernel_btf kernel = { .vmlinux = btf__load_vmlinux_btf() };
	size_t skipped = 0;

	for (size_t i = 0; kernel.vmlinux && i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_PENDING && !run->programs[i].extends)
			skipped += skip_if_absent(&kernel, &run->programs[i]);
	free_kernel_btf(&kernel);
	return skipped;
}

bool kernel_has(const char *name, __u32 kind)
{
	struct kernel_btf kernel = { .vmlinux = btf__load_vmlinux_btf() };
	bool found = kernel.vmlinux && (btf__find_by_name_kind(kernel.vmlinux, name, kind) > 0 ||
					in_any_module(&kernel, name, kind));

	free_kernel_btf(&kernel);
	return found;
}
