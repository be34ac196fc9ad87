#include "show/map_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_per_cpu(enum bpf_map_type type)
{
	return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* With build ids the entries are no addresses. */
static bool is_stack_map(enum bpf_map_type type, __u32 flags)
{
	return type == BPF_MAP_TYPE_STACK_TRACE && !(flags & BPF_F_STACK_BUILD_ID);
}

bool map_view_is_array(const struct map_view *view)
{
	return view->type == BPF_MAP_TYPE_ARRAY || view->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

size_t map_view_value_bytes(const struct map_view *view)
{
	return view->copies * view->stride;
}

bool map_view_is_zero(const struct map_view *view)
{
	const unsigned char *bytes = view->value;
	size_t size = map_view_value_bytes(view);

	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

static bool prepare_view(struct map_view *view)
{
	view->copies = is_per_cpu(view->type) ? libbpf_num_possible_cpus() : 1;
	view->stride = (view->value_size + 7) / 8 * 8;
	/* Queues have no keys; their entries are numbered. */
	view->key = calloc(1, view->key_size ? view->key_size : sizeof(__u32));
	view->value = calloc(view->copies, view->stride);
	view->key_readings = readings_find(view->btf, view->key_type, "key",
					   map_view_is_array(view) ? NULL : view->name);
	view->value_readings = readings_find(view->btf, view->value_type, "value", NULL);
	return view->key && view->value && view->stride;
}

bool map_view_open(struct map_view *view, const struct bpf_map *map, const struct btf *btf)
{
	*view = (struct map_view){
		.name = bpf_map__name(map),
		.btf = btf,
		.type = bpf_map__type(map),
		.fd = bpf_map__fd(map),
		.key_size = bpf_map__key_size(map),
		.value_size = bpf_map__value_size(map),
		.max_entries = bpf_map__max_entries(map),
		.has_stacks = is_stack_map(bpf_map__type(map), bpf_map__map_flags(map)),
		.key_type = btf ? map_key_type(map) : 0,
		.value_type = btf ? map_value_type(map) : 0,
	};
	return prepare_view(view);
}

bool map_view_open_inner(struct map_view *view, int fd, const char *outer, const struct btf *btf)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	*view = (struct map_view){ .name = "", .btf = btf, .fd = fd };
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return false;
	view->type = info.type;
	view->key_size = info.key_size;
	view->value_size = info.value_size;
	view->max_entries = info.max_entries;
	view->has_stacks = is_stack_map(info.type, info.map_flags);
	view->key_type = btf ? map_inner_key_type(outer) : 0;
	view->value_type = btf ? map_inner_value_type(outer) : 0;
	return prepare_view(view);
}

void map_view_close(struct map_view *view)
{
	readings_free(view->key_readings);
	readings_free(view->value_readings);
	free(view->key);
	free(view->value);
}

bool map_view_next(struct map_view *view, bool first)
{
	return !bpf_map_get_next_key(view->fd, first ? NULL : view->key, view->key);
}

bool map_view_lookup(struct map_view *view)
{
	return !bpf_map_lookup_elem(view->fd, view->key, view->value);
}

static void put_typed(struct json *json, __u32 type_id, const struct btf_bytes *bytes)
{
	if (type_id)
		btf_json_value(json, bytes, type_id, 0);
	else
		btf_json_untyped(json, bytes);
}

static void put_stack_addresses(struct json *json, const struct map_view *view)
{
	const __u64 *addresses = view->value;
	char text[20];

	json_open(json, '[');
	for (size_t i = 0; i < view->value_size / sizeof(*addresses) && addresses[i]; i++) {
		snprintf(text, sizeof(text), "0x%llx", addresses[i]);
		json_string(json, text);
	}
	json_close(json, ']');
}

void map_view_put(struct json *json, const struct map_view *view)
{
	struct btf_bytes key = { view->btf, view->key, view->key_size ? view->key_size : sizeof(__u32), 1, 0 };
	struct btf_bytes value = { view->btf, view->value, view->value_size, view->copies, view->stride };
	struct shown shown = { .json = json };

	json_open(json, '{');
	json_key(json, "key");
	put_typed(json, view->key_type, &key);
	json_key(json, "value");
	if (view->has_stacks) {
		put_stack_addresses(json, view);
		shown_add_stack(&shown, "value", view->value, view->value_size / sizeof(__u64), 0);
	} else {
		put_typed(json, view->value_type, &value);
		shown_add(&shown, view->key_readings, &key);
		shown_add(&shown, view->value_readings, &value);
	}
	shown_end(&shown);
	json_close(json, '}');
}
