#include "load/map_types.h"

#include <stdlib.h>
#include <string.h>

static struct declaration {
	char name[64];
	__u32 key, value, inner_key, inner_value;
} *declarations;
static size_t declaration_count;

static const struct declaration UNKNOWN;

static struct declaration *find_declaration(const char *name)
{
	for (size_t i = 0; i < declaration_count; i++)
		if (!strncmp(declarations[i].name, name, sizeof(declarations[i].name) - 1))
			return &declarations[i];
	return NULL;
}

static struct declaration *add_declaration(const char *name)
{
	struct declaration *grown = realloc(declarations, (declaration_count + 1) * sizeof(*grown));

	if (!grown)
		return NULL;
	declarations = grown;
	grown += declaration_count++;
	*grown = UNKNOWN;
	strncpy(grown->name, name, sizeof(grown->name) - 1);
	return grown;
}

void map_types_remember(const struct bpf_map *map)
{
	const struct bpf_map *inner = bpf_map__inner_map((struct bpf_map *)map);
	const char *name = bpf_map__name(map);
	struct declaration *declaration = find_declaration(name);

	if (!declaration)
		declaration = add_declaration(name);
	if (!declaration)
		return;
	declaration->key = bpf_map__btf_key_type_id(map);
	declaration->value = bpf_map__btf_value_type_id(map);
	declaration->inner_key = inner ? bpf_map__btf_key_type_id(inner) : 0;
	declaration->inner_value = inner ? bpf_map__btf_value_type_id(inner) : 0;
}

static const struct declaration *declaration_of(const char *name)
{
	const struct declaration *found = find_declaration(name);

	return found ? found : &UNKNOWN;
}

__u32 map_key_type(const struct bpf_map *map)
{
	__u32 known = bpf_map__btf_key_type_id(map);

	return known ? known : declaration_of(bpf_map__name(map))->key;
}

__u32 map_value_type(const struct bpf_map *map)
{
	__u32 known = bpf_map__btf_value_type_id(map);

	return known ? known : declaration_of(bpf_map__name(map))->value;
}

__u32 map_inner_key_type(const char *outer)
{
	return declaration_of(outer)->inner_key;
}

__u32 map_inner_value_type(const char *outer)
{
	return declaration_of(outer)->inner_value;
}
