#include "targets.h"

#include <bpf/btf.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

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
	{ "iter", "bpf_iter_", BTF_KIND_FUNC, "iterator" },
};

static const struct btf_hook *find_hook(const char *section)
{
	for (size_t i = 0; i < sizeof(HOOKS) / sizeof(HOOKS[0]); i++)
		if (section_under(section, HOOKS[i].section))
			return &HOOKS[i];
	return NULL;
}

static bool in_module(const struct btf *vmlinux, const char *module, const char *name, __u32 kind)
{
	struct btf *btf = btf__load_module_btf(module, (struct btf *)vmlinux);
	bool found = btf && btf__find_by_name_kind(btf, name, kind) > 0;

	btf__free(btf);
	return found;
}

static bool in_any_module(const struct btf *vmlinux, const char *name, __u32 kind)
{
	DIR *directory = opendir("/sys/kernel/btf");
	struct dirent *entry;
	bool found = false;

	if (!directory)
		return false;
	while (!found && (entry = readdir(directory)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "vmlinux"))
			found = in_module(vmlinux, entry->d_name, name, kind);
	closedir(directory);
	return found;
}

static bool is_absent(const struct btf *vmlinux, const struct btf_hook *hook, const char *target)
{
	const char *module_end = strchr(target, ':'); /* "module:function" */
	char name[256];

	snprintf(name, sizeof(name), "%s%s", hook->btf_prefix, module_end ? module_end + 1 : target);
	return btf__find_by_name_kind(vmlinux, name, hook->kind) < 0 && !in_any_module(vmlinux, name, hook->kind);
}

static bool skip_if_absent(const struct btf *vmlinux, struct program *program)
{
	const struct btf_hook *hook = find_hook(program->section);
	const char *target = strchr(program->section, '/');

	if (!hook || !target || !is_absent(vmlinux, hook, target + 1))
		return false;
	program->absent = true;
	snprintf(program->target, sizeof(program->target), "%s", target + 1);
	program_set(program, PROGRAM_SKIPPED, "this kernel's BTF has no %s %s", hook->what, target + 1);
	return true;
}

size_t skip_absent_targets(struct run *run)
{
	struct btf *vmlinux = btf__load_vmlinux_btf();
	size_t skipped = 0;

	for (size_t i = 0; vmlinux && i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_PENDING && !run->programs[i].extends)
			skipped += skip_if_absent(vmlinux, &run->programs[i]);
	btf__free(vmlinux);
	return skipped;
}
