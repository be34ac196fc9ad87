#include "show/maps.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load/instructions.h"
#include "message.h"
#include "show/globals.h"
#include "show/map_view.h"

#define MAX_DUMPED_ENTRIES 256
#define MAX_COUNTED_ENTRIES 65536	/* entries looked at only to say how many there are */
#define SMALL_ARRAY 16		/* is shown with its zeros */
#define MAX_INNER_MAPS 64

bool map_has_entries(enum bpf_map_type type)
{
	switch (type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_LPM_TRIE:
	case BPF_MAP_TYPE_STACK_TRACE:
		return true;
	default:
		return false;
	}
}

static bool is_queue(enum bpf_map_type type)
{
	return type == BPF_MAP_TYPE_QUEUE || type == BPF_MAP_TYPE_STACK;
}

static bool holds_maps(enum bpf_map_type type)
{
	return type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

struct dump {
	struct json *json;
	struct map_view *view;
	size_t shown, truncated, zeros;
};

static void put_entry(struct dump *dump)
{
	if (dump->shown == MAX_DUMPED_ENTRIES) {
		dump->truncated++;
		return;
	}
	map_view_put(dump->json, dump->view);
	dump->shown++;
}

static void visit_entry(struct dump *dump)
{
	bool array = map_view_is_array(dump->view);

	if (dump->shown == MAX_DUMPED_ENTRIES && !array)
		dump->truncated++;
	else if (!map_view_lookup(dump->view))
		return;
	else if (array && dump->view->max_entries > SMALL_ARRAY && map_view_is_zero(dump->view))
		dump->zeros++;
	else
		put_entry(dump);
}

static void visit_keys(struct dump *dump)
{
	bool there = map_view_next(dump->view, true);

	for (size_t seen = 0; there && seen < MAX_COUNTED_ENTRIES; seen++) {
		visit_entry(dump);
		there = map_view_next(dump->view, false);
	}
}

/* In the order in which a program would take them. */
static void visit_queue(struct dump *dump)
{
	for (__u32 at = 0; !bpf_map_lookup_and_delete_elem(dump->view->fd, NULL, dump->view->value); at++) {
		memcpy(dump->view->key, &at, sizeof(at));
		put_entry(dump);
	}
}

static void put_entries(struct json *json, struct map_view *view)
{
	struct dump dump = { .json = json, .view = view };

	json_key(json, "entries");
	json_open(json, '[');
	if (is_queue(view->type))
		visit_queue(&dump);
	else
		visit_keys(&dump);
	json_close(json, ']');
	if (dump.truncated)
		json_put_unsigned(json, "truncated", dump.truncated);
	if (dump.zeros)
		json_put_unsigned(json, "zeros", dump.zeros);
}

static struct json *begin_map_message(const char *name, enum bpf_map_type type)
{
	struct json *json = message_begin("map");

	json_put_string(json, "name", name);
	json_put_string(json, "map_type", libbpf_bpf_map_type_str(type));
	return json;
}

static void dump_map(const struct run *run, const struct bpf_map *map, const struct btf *btf)
{
	struct map_view view;
	struct json *json;

	if (map_view_open(&view, map, btf)) {
		json = begin_map_message(view.name, view.type);
		put_entries(json, &view);
		if (map_is_only_looked_up(run, map))
			json_put_bool(json, "only_read", true);
		message_end();
	}
	map_view_close(&view);
}

/* "outer[3]"; a key that is no number as its bytes. */
static void name_inner(const struct map_view *outer, char *name, size_t size)
{
	const unsigned char *key = outer->key;
	size_t used = snprintf(name, size, "%s[", outer->name);

	if (outer->key_size == sizeof(__u32))
		used += snprintf(name + used, size - used, "%u", *(const __u32 *)outer->key);
	else
		for (size_t i = 0; i < outer->key_size && used + 4 < size; i++)
			used += snprintf(name + used, size - used, "%02x", key[i]);
	snprintf(name + used, size - used, "]");
}

static void dump_inner(const struct map_view *outer)
{
	int fd = bpf_map_get_fd_by_id(*(const __u32 *)outer->value);
	struct map_view view;
	struct json *json;
	char name[256];

	if (fd < 0)
		return;
	if (map_view_open_inner(&view, fd, outer->name, outer->btf) &&
	    (map_has_entries(view.type) || is_queue(view.type))) {
		name_inner(outer, name, sizeof(name));
		json = begin_map_message(name, view.type);
		put_entries(json, &view);
		message_end();
	}
	map_view_close(&view);
	close(fd);
}

static void dump_outer(struct bpf_map *map, const struct btf *btf)
{
	struct map_view view;
	bool there = map_view_open(&view, map, btf) && map_view_next(&view, true);

	for (size_t shown = 0; there && shown < MAX_INNER_MAPS; there = map_view_next(&view, false)) {
		if (!map_view_lookup(&view))
			continue;
		dump_inner(&view);
		shown++;
	}
	map_view_close(&view);
}

static void dump_globals(struct globals *globals)
{
	struct json *json = begin_map_message(globals->section, BPF_MAP_TYPE_ARRAY);

	json_key(json, "entries");
	json_open(json, '[');
	for (int i = 0; i < btf_vlen(globals->variables); i++)
		if (globals_variable(globals, i))
			globals_put(json, globals, globals_variable(globals, i));
	json_close(json, ']');
	message_end();
	globals_close(globals);
}

void maps_dump(const struct run *run)
{
	const struct btf *btf = bpf_object__btf(run->object);
	struct globals globals;
	struct bpf_map *map;

	bpf_object__for_each_map(map, run->object) {
		if (bpf_map__fd(map) < 0)
			continue;
		if (bpf_map__is_internal(map)) {
			if (globals_open(&globals, map, btf))
				dump_globals(&globals);
		} else if (map_has_entries(bpf_map__type(map)) || is_queue(bpf_map__type(map)))
			dump_map(run, map, btf);
		else if (holds_maps(bpf_map__type(map)))
			dump_outer(map, btf);
	}
}
