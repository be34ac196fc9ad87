#include "maps.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "btf_json.h"
#include "message.h"

#define MAX_ENTRIES 256
#define MAX_COUNTED 65536	/* entries looked at only to say how many there are */
#define SMALL_ARRAY 16		/* is shown with its zeros */

struct dump {
	struct bpf_map *map;
	const struct btf *btf;
	int fd;
	bool array;
	size_t copies;	/* CPUs, or 1 */
	size_t stride;
	void *key;
	void *value;
	size_t shown, truncated, zeros;
};

static bool is_array(enum bpf_map_type type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static bool is_per_cpu(enum bpf_map_type type)
{
	return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* Of the other types the values are descriptors, buffers or sockets, not results. */
static bool holds_results(enum bpf_map_type type)
{
	return is_array(type) || is_per_cpu(type) || type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LRU_HASH ||
	       type == BPF_MAP_TYPE_LPM_TRIE;
}

static void put_part(struct json *json, const struct dump *dump, __u32 type_id, const struct btf_bytes *bytes)
{
	if (type_id && dump->btf)
		btf_json_value(json, bytes, type_id, 0);
	else
		btf_json_untyped(json, bytes);
}

static void put_entry(struct json *json, struct dump *dump)
{
	struct btf_bytes key = { dump->btf, dump->key, bpf_map__key_size(dump->map), 1, 0 };
	struct btf_bytes value = { dump->btf, dump->value, bpf_map__value_size(dump->map), dump->copies,
				   dump->stride };

	json_open(json, '{');
	json_key(json, "key");
	put_part(json, dump, bpf_map__btf_key_type_id(dump->map), &key);
	json_key(json, "value");
	put_part(json, dump, bpf_map__btf_value_type_id(dump->map), &value);
	json_close(json, '}');
	dump->shown++;
}

static bool is_zero(const void *data, size_t size)
{
	const unsigned char *bytes = data;

	return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

static void visit_entry(struct json *json, struct dump *dump)
{
	if (dump->shown == MAX_ENTRIES && !dump->array) {
		dump->truncated++;
		return;
	}
	if (bpf_map_lookup_elem(dump->fd, dump->key, dump->value))
		return; /* deleted since we got its key */
	if (dump->array && bpf_map__max_entries(dump->map) > SMALL_ARRAY &&
	    is_zero(dump->value, dump->copies * dump->stride))
		dump->zeros++;
	else if (dump->shown == MAX_ENTRIES)
		dump->truncated++;
	else
		put_entry(json, dump);
}

static void visit_entries(struct json *json, struct dump *dump)
{
	int error = bpf_map_get_next_key(dump->fd, NULL, dump->key);

	for (size_t seen = 0; !error && seen < MAX_COUNTED; seen++) {
		visit_entry(json, dump);
		error = bpf_map_get_next_key(dump->fd, dump->key, dump->key);
	}
}

static void put_entries(struct json *json, struct dump *dump)
{
	json_key(json, "entries");
	json_open(json, '[');
	visit_entries(json, dump);
	json_close(json, ']');
	if (dump->truncated)
		json_put_unsigned(json, "truncated", dump->truncated);
	if (dump->zeros)
		json_put_unsigned(json, "zeros", dump->zeros);
}

static struct json *begin_map(const struct bpf_map *map, const char *name)
{
	struct json *json = message_begin("map");

	json_put_string(json, "name", name);
	json_put_string(json, "map_type", libbpf_bpf_map_type_str(bpf_map__type(map)));
	return json;
}

static void dump_map(struct bpf_map *map, const struct btf *btf)
{
	enum bpf_map_type type = bpf_map__type(map);
	struct dump dump = { .map = map, .btf = btf, .fd = bpf_map__fd(map), .array = is_array(type) };

	dump.copies = is_per_cpu(type) ? libbpf_num_possible_cpus() : 1;
	dump.stride = (bpf_map__value_size(map) + 7) / 8 * 8;
	dump.key = calloc(1, bpf_map__key_size(map));
	dump.value = calloc(dump.copies, dump.stride);
	if (dump.key && dump.value) {
		put_entries(begin_map(map, bpf_map__name(map)), &dump);
		message_end();
	}
	free(dump.key);
	free(dump.value);
}

/* Constants inside functions ("hello.____fmt") are formats and strings; .kconfig is the kernel's, not the program's. */
static bool is_internal(const char *section, const char *variable)
{
	return !strcmp(section, ".kconfig") || (!strncmp(section, ".rodata", 7) && strchr(variable, '.'));
}

/* A global pointer that only keeps a struct in BTF: const struct event *unused. */
static bool is_anchor(const struct btf_bytes *bytes, const struct btf_type *type, size_t offset)
{
	const struct btf_type *pointer = btf_resolve(bytes->btf, type->type);

	return pointer && btf_is_ptr(pointer) && is_zero(bytes->data + offset, sizeof(__u64));
}

static bool is_result(const struct btf_bytes *bytes, const struct btf_type *section,
		      const struct btf_var_secinfo *variable)
{
	const struct btf_type *type = btf__type_by_id(bytes->btf, variable->type);

	return !is_internal(btf__name_by_offset(bytes->btf, section->name_off),
			 btf__name_by_offset(bytes->btf, type->name_off)) &&
	       !is_anchor(bytes, type, variable->offset);
}

static void put_variable(struct json *json, const struct btf_bytes *bytes, const struct btf_var_secinfo *variable)
{
	const struct btf_type *type = btf__type_by_id(bytes->btf, variable->type);
	const char *name = btf__name_by_offset(bytes->btf, type->name_off);

	json_open(json, '{');
	json_put_string(json, "key", name);
	json_key(json, "value");
	btf_json_value(json, bytes, type->type, variable->offset);
	json_close(json, '}');
}

static void put_variables(struct json *json, const struct btf_bytes *bytes, const struct btf_type *section)
{
	const struct btf_var_secinfo *variables = btf_var_secinfos(section);

	json_key(json, "entries");
	json_open(json, '[');
	for (int i = 0; i < btf_vlen(section); i++)
		if (is_result(bytes, section, &variables[i]))
			put_variable(json, bytes, &variables[i]);
	json_close(json, ']');
}

static bool has_results(const struct btf_bytes *bytes, const struct btf_type *section)
{
	for (int i = 0; i < btf_vlen(section); i++)
		if (is_result(bytes, section, &btf_var_secinfos(section)[i]))
			return true;
	return false;
}

/* The map of a section of global variables: "ebpf_dev.bss", ".data.mine", ... */
static void dump_globals(struct bpf_map *map, const struct btf *btf)
{
	const char *name = strchr(bpf_map__name(map), '.');
	int id = name && btf ? btf__find_by_name_kind(btf, name, BTF_KIND_DATASEC) : -1;
	struct btf_bytes bytes = { btf, calloc(1, bpf_map__value_size(map)), bpf_map__value_size(map), 1, 0 };
	__u32 zero = 0;

	if (id > 0 && bytes.data && !bpf_map_lookup_elem(bpf_map__fd(map), &zero, (void *)bytes.data) &&
	    has_results(&bytes, btf__type_by_id(btf, id))) {
		put_variables(begin_map(map, name), &bytes, btf__type_by_id(btf, id));
		message_end();
	}
	free((void *)bytes.data);
}

void maps_dump(const struct run *run)
{
	const struct btf *btf = bpf_object__btf(run->object);
	struct bpf_map *map;

	bpf_object__for_each_map(map, run->object) {
		if (bpf_map__fd(map) < 0)
			continue;
		if (bpf_map__is_internal(map))
			dump_globals(map, btf);
		else if (holds_results(bpf_map__type(map)))
			dump_map(map, btf);
	}
}
