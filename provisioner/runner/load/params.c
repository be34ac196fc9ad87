#include "load/params.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/values.h"
#include "message.h"
#include "show/btf_json.h"
#include "util.h"

/* Constants inside functions have a dot in their name; the configuration is the kernel's. */
static bool is_settable(const char *section, const char *name)
{
	return strcmp(section, ".kconfig") && !strchr(name, '.');
}

static bool visit_section(const struct btf *btf, struct bpf_map *map,
			  bool (*visit)(const struct variable *, void *), void *context)
{
	const char *section = strchr(bpf_map__name(map), '.');
	int id = section ? btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC) : -1;
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, id) : NULL;
	size_t size = 0;
	unsigned char *data = (unsigned char *)bpf_map__initial_value(map, &size);

	for (int i = 0; type && data && i < btf_vlen(type); i++) {
		const struct btf_var_secinfo *place = &btf_var_secinfos(type)[i];
		const struct btf_type *variable = btf__type_by_id(btf, place->type);
		struct variable found = { section, btf__name_by_offset(btf, variable->name_off), btf, variable->type,
					  data + place->offset, place->size };

		if (place->offset <= size && place->size <= size - place->offset &&
		    is_settable(section, found.name) && visit(&found, context))
			return true;
	}
	return false;
}

void variables_visit(const struct bpf_object *object, bool (*visit)(const struct variable *, void *), void *context)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map;

	if (!btf)
		return;
	bpf_object__for_each_map(map, object)
		if (bpf_map__is_internal(map) && visit_section(btf, map, visit, context))
			return;
}

static int refuse_parameter(const char *hint, const char *details, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int refuse_parameter(const char *hint, const char *details, const char *format, ...)
{
	char brief[600];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(brief, sizeof(brief), format, arguments);
	va_end(arguments);
	message_error(&(struct error_report){
		.code = "bad-parameter", .brief = brief, .details = details, .hint = hint });
	return EXIT_USAGE;
}

static void append_line(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append_line(struct text *text, const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (text->size)
		text_append(text, "\n", 1);
	text_append(text, line, strlen(line));
}

#define SHOWN_VALUE 80 /* characters */

/* --set: the part of a variable that "name.member[3]" names. */
struct setting {
	char path[256];
	struct variable variable;
	bool found;
};

static bool is_variable_of(const struct variable *variable, void *context)
{
	struct setting *setting = context;
	size_t length = strcspn(setting->path, ".[");

	if (strlen(variable->name) != length || strncmp(variable->name, setting->path, length))
		return false;
	setting->variable = *variable;
	setting->found = true;
	return true;
}

static bool list_variable(const struct variable *variable, void *context)
{
	struct btf_bytes bytes = { variable->btf, variable->data, variable->size, 1, 0 };
	struct json value = {};
	char type[160];
	int shown;

	value_type_text(variable->btf, variable->type_id, type, sizeof(type));
	btf_json_value(&value, &bytes, variable->type_id, 0);
	shown = value.size < SHOWN_VALUE ? value.size : SHOWN_VALUE;
	append_line(context, "%s %s = %.*s", type, variable->name, shown, value.text);
	free(value.text);
	return false;
}

static int refuse_unknown_variable(const struct run *run, const struct setting *setting)
{
	struct text list = {};
	int status;

	variables_visit(run->object, list_variable, &list);
	status = refuse_parameter("--set takes a global variable of the program.",
				  list.data ? list.data : "It has no global variables.",
				  "the program has no variable %.*s", (int)strcspn(setting->path, ".["),
				  setting->path);
	text_free(&list);
	return status;
}

static bool enter_member(struct variable *part, const char *name, size_t length)
{
	const struct btf_type *type = btf_resolve(part->btf, part->type_id);

	if (!btf_is_composite(type))
		return false;
	for (int i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *member = btf_members(type) + i;
		const char *found = btf__name_by_offset(part->btf, member->name_off);
		__s64 size = btf__resolve_size(part->btf, member->type);

		if (strlen(found) != length || strncmp(found, name, length) || size < 0 ||
		    btf_member_bitfield_size(type, i))
			continue;
		part->data += btf_member_bit_offset(type, i) / 8;
		part->type_id = member->type;
		part->size = size;
		return true;
	}
	return false;
}

static bool enter_element(struct variable *part, size_t index)
{
	const struct btf_type *type = btf_resolve(part->btf, part->type_id);
	__s64 size = btf_is_array(type) ? btf__resolve_size(part->btf, btf_array(type)->type) : -1;

	if (size < 0 || index >= btf_array(type)->nelems)
		return false;
	part->data += index * size;
	part->type_id = btf_array(type)->type;
	part->size = size;
	return true;
}

/* Follows ".member" and "[3]" from the variable to the part that is meant. */
static bool enter_parts(struct variable *part, const char *path)
{
	while (*path) {
		size_t length = strcspn(path + 1, ".[");
		char *end;

		if (*path == '.' ? !enter_member(part, path + 1, length) :
				   !enter_element(part, strtoul(path + 1, &end, 0)))
			return false;
		if (*path == '[' && (end != path + length || *end != ']'))
			return false;
		path += 1 + length;
	}
	return true;
}

static void list_members(const struct variable *part, struct text *list)
{
	const struct btf_type *type = btf_resolve(part->btf, part->type_id);
	char name[160];

	for (int i = 0; type && btf_is_composite(type) && i < btf_vlen(type); i++) {
		value_type_text(part->btf, btf_members(type)[i].type, name, sizeof(name));
		append_line(list, "%s %s", name, btf__name_by_offset(part->btf, btf_members(type)[i].name_off));
	}
}

static int refuse_unknown_part(const struct setting *setting, const struct variable *last)
{
	struct text members = {};
	char type[160];
	int status;

	value_type_text(last->btf, last->type_id, type, sizeof(type));
	list_members(last, &members);
	status = refuse_parameter("Write NAME.member or NAME[index]; bit fields are set with their whole struct.",
				  members.data ? members.data : "", "there is no %s in %s %s", setting->path, type,
				  setting->variable.name);
	text_free(&members);
	return status;
}

static int set_variable(const struct run *run, const char *text)
{
	const char *value = strchr(text, '=');
	struct setting setting = {};
	struct variable part;
	char why[400], type[160];

	if (!value)
		return refuse_parameter("Write --set VARIABLE=VALUE.", "", "\"%s\" has no value", text);
	snprintf(setting.path, sizeof(setting.path), "%.*s", (int)(value - text), text);
	variables_visit(run->object, is_variable_of, &setting);
	if (!setting.found)
		return refuse_unknown_variable(run, &setting);
	part = setting.variable;
	if (!enter_parts(&part, setting.path + strcspn(setting.path, ".[")))
		return refuse_unknown_part(&setting, &part);
	value_type_text(part.btf, part.type_id, type, sizeof(type));
	if (!value_parse(&(struct value_place){ part.btf, part.type_id, part.data, part.size }, value + 1, why,
			 sizeof(why)))
		return refuse_parameter("", "", "%s %s cannot be set: %s", type, setting.path, why);
	return EXIT_OK;
}

int params_set_variables(const struct run *run)
{
	int status = EXIT_OK;

	for (size_t i = 0; i < run->options.setting_count && !status; i++)
		status = set_variable(run, run->options.settings[i]);
	return status;
}

/* --map */
static void map_part_text(const struct run *run, __u32 type_id, __u32 size, char *text, size_t text_size)
{
	const struct btf *btf = bpf_object__btf(run->object);

	if (btf && type_id)
		value_type_text(btf, type_id, text, text_size);
	else
		snprintf(text, text_size, "%u bytes", size);
}

static void list_map(const struct run *run, const struct bpf_map *map, struct text *list)
{
	char key[160], value[160];

	map_part_text(run, map_key_type(map), bpf_map__key_size(map), key, sizeof(key));
	map_part_text(run, map_value_type(map), bpf_map__value_size(map), value, sizeof(value));
	append_line(list, "%s: %s, key %s, value %s", bpf_map__name(map), libbpf_bpf_map_type_str(bpf_map__type(map)),
		    key, value);
}

static int refuse_unknown_map(const struct run *run, const char *name)
{
	struct text list = {};
	struct bpf_map *map;
	int status;

	bpf_object__for_each_map(map, run->object)
		if (!bpf_map__is_internal(map))
			list_map(run, map, &list);
	status = refuse_parameter("--map takes a map's name and KEY=VALUE; global variables are for --set.",
				  list.data ? list.data : "It has no maps.", "the program has no map %s", name);
	text_free(&list);
	return status;
}

static bool is_of_cpus(const struct bpf_map *map)
{
	enum bpf_map_type type = bpf_map__type(map);

	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* Maps of programs and of maps hold descriptors, which are written as the name of what they are of. */
static int named_descriptor(const struct run *run, const struct bpf_map *map, const char *name)
{
	const struct bpf_program *program;
	const struct bpf_map *inner;

	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_PROG_ARRAY:
		program = bpf_object__find_program_by_name(run->object, name);
		return program ? bpf_program__fd(program) : -1;
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		inner = bpf_object__find_map_by_name(run->object, name);
		return inner ? bpf_map__fd(inner) : -1;
	default:
		return -1;
	}
}

/* Key and value of one entry; a per-CPU value is the same on every CPU. */
struct entry {
	unsigned char *key;
	unsigned char *value;
	size_t value_size;
	size_t copies;
};

static bool make_entry(struct entry *entry, const struct bpf_map *map)
{
	bool per_cpu = is_of_cpus(map);

	entry->value_size = bpf_map__value_size(map);
	if (per_cpu)
		entry->value_size = (entry->value_size + 7) / 8 * 8;
	entry->copies = per_cpu ? libbpf_num_possible_cpus() : 1;
	entry->key = calloc(1, bpf_map__key_size(map) + 1);
	entry->value = calloc(entry->copies, entry->value_size + 1);
	return entry->key && entry->value;
}

/* "192.0.2.0/24" is how people write the key of a longest prefix match: {prefix length, address}. */
static void parse_key_text(const struct bpf_map *map, const char *text, size_t length, char *key, size_t size)
{
	const char *slash = memchr(text, '/', length);
	int before = slash ? slash - text : 0;

	if (slash && bpf_map__type(map) == BPF_MAP_TYPE_LPM_TRIE)
		snprintf(key, size, "%.*s,%.*s", (int)length - before - 1, slash + 1, before, text);
	else
		snprintf(key, size, "%.*s", (int)length, text);
}

static bool parse_entry(const struct run *run, const struct bpf_map *map, const char *text, struct entry *entry,
			char *why, size_t why_size)
{
	const struct btf *btf = bpf_object__btf(run->object);
	size_t length = strcspn(text, "=");
	int descriptor;
	char key[512];

	if (!text[length]) {
		snprintf(why, why_size, "it is not KEY=VALUE");
		return false;
	}
	parse_key_text(map, text, length, key, sizeof(key));
	if (!value_parse(&(struct value_place){ btf, map_key_type(map), entry->key,
						bpf_map__key_size(map) }, key, why, why_size))
		return false;
	descriptor = named_descriptor(run, map, text + length + 1);
	if (descriptor >= 0)
		memcpy(entry->value, &descriptor, sizeof(descriptor));
	else if (!value_parse(&(struct value_place){ btf, map_value_type(map), entry->value,
						     bpf_map__value_size(map) }, text + length + 1, why, why_size))
		return false;
	for (size_t copy = 1; copy < entry->copies; copy++)
		memcpy(entry->value + copy * entry->value_size, entry->value, entry->value_size);
	return true;
}

/* Queues and stacks have no keys. */
static int put_entry_into(const struct bpf_map *map, const struct entry *entry)
{
	const void *key = bpf_map__key_size(map) ? entry->key : NULL;

	return bpf_map_update_elem(bpf_map__fd(map), key, entry->value, BPF_ANY);
}

static int fill_map(const struct run *run, const char *name, const char *text)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(run->object, name);
	struct entry entry = {};
	struct text shape = {};
	char why[400] = "out of memory";
	int status = EXIT_OK;

	if (!map || bpf_map__is_internal(map))
		return refuse_unknown_map(run, name);
	list_map(run, map, &shape);
	if (!make_entry(&entry, map) || !parse_entry(run, map, text, &entry, why, sizeof(why)))
		status = refuse_parameter("", shape.data, "\"%s\" is no entry of map %s: %s", text, name, why);
	else if (put_entry_into(map, &entry))
		status = refuse_parameter("", shape.data, "the kernel does not take %s into map %s (of at most %u): %s",
					  text, name, bpf_map__max_entries(map), strerror(errno));
	free(entry.key);
	free(entry.value);
	text_free(&shape);
	return status;
}

int params_fill_maps(const struct run *run)
{
	int status = EXIT_OK;

	for (size_t i = 0; i < run->options.entry_count && !status; i++)
		status = fill_map(run, run->options.entries[i].map, run->options.entries[i].entry);
	return status;
}
