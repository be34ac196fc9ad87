#include "system/kernel_btf.h"

#include <dirent.h>
#include <string.h>

static struct btf *vmlinux;
static struct btf *modules[256];
static size_t module_count;

const struct btf *kernel_btf(void)
{
	static bool is_read;

	if (!is_read)
		vmlinux = btf__load_vmlinux_btf();
	is_read = true;
	return vmlinux;
}

static void read_modules(void)
{
	static bool is_read;
	DIR *directory = is_read ? NULL : opendir("/sys/kernel/btf");
	struct dirent *entry;

	is_read = true;
	while (directory && (entry = readdir(directory)) && module_count < sizeof(modules) / sizeof(modules[0])) {
		struct btf *module = NULL;

		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "vmlinux"))
			module = btf__load_module_btf(entry->d_name, vmlinux);
		if (module)
			modules[module_count++] = module;
	}
	if (directory)
		closedir(directory);
}

static bool in_any_module(const char *name, __u32 kind)
{
	read_modules();
	for (size_t i = 0; i < module_count; i++) {
		for (__u32 id = btf__type_cnt(vmlinux); id < btf__type_cnt(modules[i]); id++) {
			const struct btf_type *type = btf__type_by_id(modules[i], id);

			if (btf_kind(type) == kind && !strcmp(btf__name_by_offset(modules[i], type->name_off), name))
				return true;
		}
	}
	return false;
}

bool kernel_has(const char *name, __u32 kind)
{
	return kernel_btf() && (btf__find_by_name_kind(vmlinux, name, kind) > 0 || in_any_module(name, kind));
}
