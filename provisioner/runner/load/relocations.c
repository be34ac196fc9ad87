#include "load/relocations.h"

#include <bpf/btf.h>
#include <stdint.h>
#include <string.h>

#include "system/kernel_btf.h"

#define MAX_OWN 64

/* The head of .BTF.ext up to what is of interest here; offsets count from its end. */
struct extension_head {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t size;
	uint32_t functions, functions_size;
	uint32_t lines, lines_size;
	uint32_t relocations, relocations_size;
};

/* Behind a record's size: for each section of the program one of these, and its records. */
struct section_head {
	uint32_t name;
	uint32_t count;
};

/* The start of a record. */
struct relocation {
	uint32_t instruction;
	uint32_t type_id;
};

/* Types of keys and values, without modifiers. */
struct own_types {
	const struct btf *btf;
	uint32_t ids[MAX_OWN];
	size_t count;
};

static uint32_t without_modifiers(const struct btf *btf, uint32_t id)
{
	const struct btf_type *type = btf__type_by_id(btf, id);

	while (type && (btf_is_mod(type) || btf_is_typedef(type))) {
		id = type->type;
		type = btf__type_by_id(btf, id);
	}
	return id;
}

static void add_pointed(struct own_types *own, uint32_t pointer)
{
	const struct btf_type *type = btf__type_by_id(own->btf, without_modifiers(own->btf, pointer));
	uint32_t id = type && btf_is_ptr(type) ? without_modifiers(own->btf, type->type) : 0;
	const struct btf_type *pointed = btf__type_by_id(own->btf, id);

	if (id && pointed && btf_is_composite(pointed) && pointed->name_off && own->count < MAX_OWN)
		own->ids[own->count++] = id;
}

/* A map's definition is a struct whose members point to what they mean. */
static void add_types_of_map(struct own_types *own, uint32_t variable)
{
	const struct btf_type *var = btf__type_by_id(own->btf, variable);
	const struct btf_type *map = var ? btf__type_by_id(own->btf, without_modifiers(own->btf, var->type)) : NULL;

	for (size_t i = 0; map && btf_is_struct(map) && i < btf_vlen(map); i++) {
		const struct btf_member *member = &btf_members(map)[i];
		const char *name = btf__name_by_offset(own->btf, member->name_off);

		if (name && (!strcmp(name, "key") || !strcmp(name, "value")))
			add_pointed(own, member->type);
	}
}

static struct own_types types_of_maps(const struct btf *btf)
{
	struct own_types own = { .btf = btf };
	int id = btf__find_by_name_kind(btf, ".maps", BTF_KIND_DATASEC);
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, id) : NULL;

	for (size_t i = 0; section && i < btf_vlen(section); i++)
		add_types_of_map(&own, btf_var_secinfos(section)[i].type);
	return own;
}

static bool is_own(const struct own_types *own, uint32_t type_id)
{
	uint32_t id = without_modifiers(own->btf, type_id);
	const struct btf_type *type;

	for (size_t i = 0; i < own->count; i++) {
		if (own->ids[i] != id)
			continue;
		type = btf__type_by_id(own->btf, id);
		return !kernel_has(btf__name_by_offset(own->btf, type->name_off), btf_kind(type));
	}
	return false;
}

/* Moves the records to keep together; returns how many bytes they take now. Any nonsense ends it. */
static uint32_t keep_others(const struct own_types *own, unsigned char *data, uint32_t size)
{
	uint32_t record_size, from = sizeof(record_size), to = from;

	memcpy(&record_size, data, sizeof(record_size));
	while (size - from >= sizeof(struct section_head)) {
		struct section_head head;
		uint32_t head_at = to, kept = 0;

		memcpy(&head, data + from, sizeof(head));
		from += sizeof(head);
		to += sizeof(head);
		if (record_size < sizeof(struct relocation) || head.count > (size - from) / record_size)
			return size;
		for (uint32_t i = 0; i < head.count; i++, from += record_size) {
			struct relocation relocation;

			memcpy(&relocation, data + from, sizeof(relocation));
			if (is_own(own, relocation.type_id))
				continue;
			memmove(data + to, data + from, record_size);
			to += record_size;
			kept++;
		}
		head.count = kept;
		if (kept)
			memcpy(data + head_at, &head, sizeof(head));
		else
			to = head_at; /* libbpf takes no empty one */
	}
	return to > sizeof(record_size) ? to : 0;
}

static void settle(const struct own_types *own, unsigned char *data, size_t size)
{
	struct extension_head head;
	uint64_t start;

	if (size < sizeof(head))
		return;
	memcpy(&head, data, sizeof(head));
	start = (uint64_t)head.size + head.relocations;
	if (head.size < sizeof(head) || head.relocations_size <= sizeof(uint32_t) || start > size ||
	    head.relocations_size > size - start)
		return;
	head.relocations_size = keep_others(own, data + start, head.relocations_size);
	memcpy(data, &head, sizeof(head));
}

void relocations_settle_own(struct elf_image *image)
{
	const Elf64_Shdr *types = elf_find_section(image, ".BTF"), *more = elf_find_section(image, ".BTF.ext");
	void *data = types ? elf_section_data(image, types) : NULL, *records = more ? elf_section_data(image, more) : NULL;
	struct btf *btf = data && records ? btf__new(data, types->sh_size) : NULL;
	struct own_types own;

	if (!btf)
		return;
	own = types_of_maps(btf);
	if (own.count)
		settle(&own, records, more->sh_size);
	btf__free(btf);
}
