#include "show/globals.h"

#include <stdlib.h>
#include <string.h>

#include "show/readings.h"

static const char *name_of(const struct globals *globals, const struct btf_var_secinfo *variable)
{
	const struct btf_type *type = btf__type_by_id(globals->bytes.btf, variable->type);

	return btf__name_by_offset(globals->bytes.btf, type->name_off);
}

/* Constants inside functions ("hello.____fmt") are formats and strings; .kconfig is the kernel's, not the program's. */
static bool is_internal(const struct globals *globals, const struct btf_var_secinfo *variable)
{
	return !strncmp(globals->section, ".rodata", 7) && strchr(name_of(globals, variable), '.');
}

/* A pointer that only keeps a struct in BTF: const struct event *unused. */
static bool is_type_anchor(const struct globals *globals, const struct btf_var_secinfo *variable)
{
	const struct btf_type *type = btf__type_by_id(globals->bytes.btf, variable->type);
	const struct btf_type *pointer = btf_resolve(globals->bytes.btf, type->type);
	__u64 value = 0;

	if (!pointer || !btf_is_ptr(pointer) || variable->offset + sizeof(value) > globals->bytes.size)
		return false;
	memcpy(&value, globals->bytes.data + variable->offset, sizeof(value));
	return !value;
}

const struct btf_var_secinfo *globals_variable(const struct globals *globals, int index)
{
	const struct btf_var_secinfo *variable = &btf_var_secinfos(globals->variables)[index];

	return is_internal(globals, variable) || is_type_anchor(globals, variable) ? NULL : variable;
}

static bool has_variables(const struct globals *globals)
{
	for (int i = 0; i < btf_vlen(globals->variables); i++)
		if (globals_variable(globals, i))
			return true;
	return false;
}

bool globals_read(struct globals *globals)
{
	__u32 zero = 0;

	return !bpf_map_lookup_elem(globals->fd, &zero, (void *)globals->bytes.data);
}

bool globals_open(struct globals *globals, struct bpf_map *map, const struct btf *btf)
{
	/* "ebpf_dev.bss": the object's name, then the section's */
	const char *section = strchr(bpf_map__name(map), '.');
	int id = section && btf ? btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC) : -1;

	if (id < 0 || !bpf_map__is_internal(map) || !strcmp(section, ".kconfig"))
		return false;
	*globals = (struct globals){
		.section = section,
		.variables = btf__type_by_id(btf, id),
		.bytes = { btf, calloc(1, bpf_map__value_size(map)), bpf_map__value_size(map), 1, 0 },
		.fd = bpf_map__fd(map),
	};
	if (globals->bytes.data && globals_read(globals) && has_variables(globals))
		return true;
	globals_close(globals);
	return false;
}

void globals_close(struct globals *globals)
{
	free((void *)globals->bytes.data);
	globals->bytes.data = NULL;
}

void globals_put(struct json *json, const struct globals *globals, const struct btf_var_secinfo *variable)
{
	const struct btf *btf = globals->bytes.btf;
	__u32 type_id = btf__type_by_id(btf, variable->type)->type;
	struct btf_bytes bytes = { btf, globals->bytes.data + variable->offset, variable->size, 1, 0 };
	struct readings *readings = readings_find(btf, type_id, "value", name_of(globals, variable));
	struct shown shown = { .json = json };

	json_open(json, '{');
	json_put_string(json, "key", name_of(globals, variable));
	json_key(json, "value");
	btf_json_value(json, &bytes, type_id, 0);
	shown_add(&shown, readings, &bytes);
	shown_end(&shown);
	json_close(json, '}');
	readings_free(readings);
}
