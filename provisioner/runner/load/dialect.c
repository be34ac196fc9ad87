#include "load/dialect.h"

#include <bpf/btf.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "message.h"
#include "show/btf_json.h"

static bool holds_programs(const struct elf_image *image, const Elf64_Shdr *section)
{
	const char *name = elf_section_name(image, section);

	return section->sh_type == SHT_PROGBITS && section->sh_flags & SHF_EXECINSTR && name && strcmp(name, ".text");
}

/* libbpf wants program functions global. As static ones are never called from elsewhere, that changes nothing else. */
static void globalize_programs(struct elf_image *image)
{
	struct elf_symbols symbols = elf_symbols(image);

	for (size_t i = 0; i < symbols.count; i++) {
		Elf64_Sym *symbol = &symbols.at[i];
		const Elf64_Shdr *section = elf_section(image, symbol->st_shndx);

		if (symbol->st_info == ELF64_ST_INFO(STB_LOCAL, STT_FUNC) && section && holds_programs(image, section))
			symbol->st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
	}
}

/* The first members of struct bpf_map_def, which all its variants share (iproute2's bpf_elf_map too). */
struct legacy_map {
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	__u32 map_flags; /* not in the oldest form */
};

static bool read_legacy_map(const struct elf_image *image, const Elf64_Sym *symbol, struct legacy_map *map)
{
	const Elf64_Shdr *section = elf_section(image, symbol->st_shndx);
	const unsigned char *data = section ? elf_section_data(image, section) : NULL;
	size_t size = symbol->st_size < sizeof(*map) ? symbol->st_size : sizeof(*map);

	*map = (struct legacy_map){};
	if (!data || size < offsetof(struct legacy_map, map_flags) || symbol->st_value > section->sh_size ||
	    size > section->sh_size - symbol->st_value)
		return false;
	memcpy(map, data + symbol->st_value, size);
	return true;
}

/*
 * A struct as the macros __uint(type, ...), ... make it: each number is the length of an array pointed to. All members
 * lie at its begin: five pointers need more room than the variable has, and only their types are read.
 */
static int add_definition(struct btf *btf, const struct legacy_map *map, __u32 size)
{
	const struct { const char *name; __u32 value; } members[] = {
		{ "type", map->type },		     { "key_size", map->key_size },
		{ "value_size", map->value_size },   { "max_entries", map->max_entries },
		{ "map_flags", map->map_flags },
	};
	__u32 count = sizeof(members) / sizeof(members[0]);
	__u32 types[sizeof(members) / sizeof(members[0])];
	int element = btf__add_int(btf, "int", sizeof(int), BTF_INT_SIGNED);
	int id;

	for (__u32 i = 0; i < count; i++)
		types[i] = btf__add_ptr(btf, btf__add_array(btf, element, element, members[i].value));
	id = btf__add_struct(btf, NULL, size);
	for (__u32 i = 0; i < count; i++)
		btf__add_field(btf, members[i].name, types[i], 0, 0);
	return id;
}

/* BTF that was parsed may be changed once something has been added to it. */
static struct btf_type *changeable(struct btf *btf, __u32 id)
{
	return (struct btf_type *)btf__type_by_id(btf, id);
}

/* Without -g there is no variable yet. Returns its id. */
static int define_variable(struct btf *btf, const char *name, const struct legacy_map *map, __u32 size)
{
	int definition = add_definition(btf, map, size);
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_VAR);

	if (id < 0)
		return btf__add_var(btf, name, BTF_VAR_GLOBAL_ALLOCATED, definition);
	changeable(btf, id)->type = definition;
	return id;
}

#define MAX_LEGACY_MAPS 256

struct legacy_maps {
	const Elf64_Sym *symbols[MAX_LEGACY_MAPS];
	int variables[MAX_LEGACY_MAPS];
	size_t count;
};

static void define_maps(struct btf *btf, const struct elf_image *image, struct legacy_maps *maps)
{
	struct elf_symbols symbols = elf_symbols(image);
	const Elf64_Shdr *section = elf_find_section(image, "maps");
	struct legacy_map map;

	for (size_t i = 0; i < symbols.count && maps->count < MAX_LEGACY_MAPS; i++) {
		const Elf64_Sym *symbol = &symbols.at[i];
		const char *name = elf_symbol_name(&symbols, symbol);

		if (elf_section(image, symbol->st_shndx) != section || ELF64_ST_TYPE(symbol->st_info) != STT_OBJECT ||
		    !name || !read_legacy_map(image, symbol, &map))
			continue;
		maps->symbols[maps->count] = symbol;
		maps->variables[maps->count++] = define_variable(btf, name, &map, symbol->st_size);
	}
}

static void define_section(struct btf *btf, const struct legacy_maps *maps, __u32 size)
{
	int id = btf__find_by_name_kind(btf, "maps", BTF_KIND_DATASEC);

	if (id > 0) {
		changeable(btf, id)->name_off = btf__add_str(btf, ".maps");
		return;
	}
	btf__add_datasec(btf, ".maps", size);
	for (size_t i = 0; i < maps->count; i++)
		btf__add_datasec_var_info(btf, maps->variables[i], maps->symbols[i]->st_value,
					  maps->symbols[i]->st_size);
}

static struct btf *read_btf(const struct elf_image *image)
{
	const Elf64_Shdr *section = elf_find_section(image, ".BTF");
	void *data = section ? elf_section_data(image, section) : NULL;

	return data ? btf__new(data, section->sh_size) : btf__new_empty();
}

/*
 * libbpf before 1.0 read struct bpf_map_def from the section "maps"; from 1.0 on it takes only maps that BTF
 * describes. So they get their description.
 */
static void convert_legacy_maps(struct elf_image *image)
{
	const Elf64_Shdr *section = elf_find_section(image, "maps");
	struct btf *btf = section && !elf_find_section(image, ".maps") ? read_btf(image) : NULL;
	struct legacy_maps maps = {};
	const void *raw;
	__u32 size;

	if (!btf)
		return;
	define_maps(btf, image, &maps);
	define_section(btf, &maps, section->sh_size);
	raw = btf__raw_data(btf, &size);
	if (maps.count && raw && !elf_put_section(image, ".BTF", raw, size) &&
	    !elf_rename_section(image, "maps", ".maps"))
		message_log("note", "maps of the old form (struct bpf_map_def) converted: %zu", maps.count);
	btf__free(btf);
}

void dialect_repair(struct elf_image *image)
{
	globalize_programs(image);
	convert_legacy_maps(image);
}

static bool has_license(const struct elf_image *image)
{
	const Elf64_Shdr *section = elf_find_section(image, "license");
	const char *text = section && section->sh_size ? elf_section_data(image, section) : NULL;

	return text && *text;
}

int dialect_set_license(struct elf_image *image, const char *license)
{
	if (license)
		return elf_put_section(image, "license", license, strlen(license) + 1);
	if (!has_license(image))
		message_log("note", "the object has no license, so the kernel refuses it helpers that are only for "
				    "GPL programs; --license GPL gives it one for this run");
	return 0;
}

static bool is_separator(char c)
{
	return c && strchr("/_-.", c);
}

/* "xdp_pass1" -> "xdp_pass" -> "xdp" -> "" */
static void cut_last_part(char *name)
{
	size_t length = strlen(name);

	if (length && isdigit((unsigned char)name[length - 1]))
		while (length && isdigit((unsigned char)name[length - 1]))
			length--;
	else
		while (length && !is_separator(name[length - 1]))
			length--;
	while (length && is_separator(name[length - 1]))
		length--;
	name[length] = '\0';
}

/*
 * libbpf takes a section name it knows, or one with a target behind a slash. Other loaders take any name that begins
 * so: "xdp_pass", "classifier/first", "socket1". Parts are cut off until libbpf knows the rest.
 */
static bool infer_from_section(const char *section, enum bpf_prog_type *type, enum bpf_attach_type *attach)
{
	char name[128];

	snprintf(name, sizeof(name), "%s", section);
	while (*name && libbpf_prog_type_by_name(name, type, attach))
		cut_last_part(name);
	return *name;
}

/* What a context tells, for the first line whose word is in the section's or the function's name. */
static const struct {
	const char *context;
	const char *word;
	const char *section; /* as libbpf knows it */
} CONTEXTS[] = {
	{ "xdp_md", "", "xdp" },
	{ "__sk_buff", "socket", "socket" },
	{ "__sk_buff", "cgroup", "cgroup/skb" },
	{ "__sk_buff", "parser", "sk_skb/stream_parser" },
	{ "__sk_buff", "sk_skb", "sk_skb/stream_verdict" },
	{ "__sk_buff", "dissect", "flow_dissector" },
	{ "__sk_buff", "", "tc" },
	{ "pt_regs", "kretprobe", "kretprobe" },
	{ "pt_regs", "", "kprobe" },
	{ "bpf_perf_event_data", "", "perf_event" },
	{ "bpf_raw_tracepoint_args", "", "raw_tp" },
	{ "bpf_sock_ops", "", "sockops" },
	{ "sk_msg_md", "", "sk_msg" },
	{ "bpf_sk_lookup", "", "sk_lookup" },
	{ "sk_reuseport_md", "", "sk_reuseport" },
	{ "bpf_nf_ctx", "", "netfilter" },
	{ "bpf_cgroup_dev_ctx", "", "cgroup/dev" },
	{ "bpf_sysctl", "", "cgroup/sysctl" },
	{ "bpf_sockopt", "set", "cgroup/setsockopt" },
	{ "bpf_sockopt", "", "cgroup/getsockopt" },
	{ "bpf_sock", "post_bind6", "cgroup/post_bind6" },
	{ "bpf_sock", "bind", "cgroup/post_bind4" },
	{ "bpf_sock", "release", "cgroup/sock_release" },
	{ "bpf_sock", "", "cgroup/sock_create" },
	{ "bpf_sock_addr", "connect6", "cgroup/connect6" },
	{ "bpf_sock_addr", "bind6", "cgroup/bind6" },
	{ "bpf_sock_addr", "bind", "cgroup/bind4" },
	{ "bpf_sock_addr", "sendmsg6", "cgroup/sendmsg6" },
	{ "bpf_sock_addr", "sendmsg", "cgroup/sendmsg4" },
	{ "bpf_sock_addr", "recvmsg6", "cgroup/recvmsg6" },
	{ "bpf_sock_addr", "recvmsg", "cgroup/recvmsg4" },
	{ "bpf_sock_addr", "getpeername6", "cgroup/getpeername6" },
	{ "bpf_sock_addr", "getpeername", "cgroup/getpeername4" },
	{ "bpf_sock_addr", "getsockname6", "cgroup/getsockname6" },
	{ "bpf_sock_addr", "getsockname", "cgroup/getsockname4" },
	{ "bpf_sock_addr", "", "cgroup/connect4" },
};

/* The struct that a function's first argument points to, NULL when BTF does not say. */
static const char *context_struct(const struct btf *btf, const char *function)
{
	int id = btf ? btf__find_by_name_kind(btf, function, BTF_KIND_FUNC) : -1;
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, btf__type_by_id(btf, id)->type) : NULL;

	if (!type || !btf_is_func_proto(type) || !btf_vlen(type))
		return NULL;
	type = btf_resolve(btf, btf_params(type)[0].type);
	type = type && btf_is_ptr(type) ? btf_resolve(btf, type->type) : NULL;
	return type && (btf_is_struct(type) || btf_is_fwd(type)) ? btf__name_by_offset(btf, type->name_off) : NULL;
}

static bool infer_from_context(const struct bpf_object *object, const struct bpf_program *program,
			       enum bpf_prog_type *type, enum bpf_attach_type *attach)
{
	const char *name = bpf_program__name(program);
	const char *section = bpf_program__section_name(program);
	const char *context = context_struct(bpf_object__btf(object), name);

	for (size_t i = 0; context && i < sizeof(CONTEXTS) / sizeof(CONTEXTS[0]); i++)
		if (!strcmp(context, CONTEXTS[i].context) &&
		    (strstr(section, CONTEXTS[i].word) || strstr(name, CONTEXTS[i].word)))
			return !libbpf_prog_type_by_name(CONTEXTS[i].section, type, attach);
	return false;
}

void dialect_infer_type(const struct bpf_object *object, struct bpf_program *program)
{
	enum bpf_attach_type attach;
	enum bpf_prog_type type;

	if (bpf_program__type(program) != BPF_PROG_TYPE_UNSPEC ||
	    (!infer_from_section(bpf_program__section_name(program), &type, &attach) &&
	     !infer_from_context(object, program, &type, &attach)))
		return;
	bpf_program__set_type(program, type);
	bpf_program__set_expected_attach_type(program, attach);
}
