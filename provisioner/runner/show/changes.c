#include "show/changes.h"

#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "show/globals.h"
#include "show/map_view.h"
#include "show/maps.h"
#include "util.h"

#define CHANGE_SECONDS 1.0
#define MAX_WATCHED 16
#define MAX_WATCHED_ENTRIES 256 /* looked at in one map */
#define MAX_SAID_CHANGES 16	/* of one map each time */

struct snapshot {
	__u64 key, value; /* hashes */
	unsigned int look; /* the last one that saw it */
};

struct watched {
	bool is_globals;
	struct globals globals;
	unsigned char *before; /* of globals */
	struct map_view view;
	struct snapshot *snapshots;
	size_t count;
	unsigned int look;
};

static struct watched *watched;
static size_t watched_count;
static double next_look;

/* FNV-1a */
static __u64 hash_bytes(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	__u64 value = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < size; i++)
		value = (value ^ bytes[i]) * 0x100000001b3ull;
	return value;
}

/* Takes the value for the next time; true when it is another one. Values that were never seen count when not zero. */
static bool update_snapshot(struct watched *map)
{
	struct map_view *view = &map->view;
	struct snapshot now = { hash_bytes(view->key, view->key_size),
				hash_bytes(view->value, map_view_value_bytes(view)), map->look };

	for (size_t i = 0; i < map->count; i++) {
		if (map->snapshots[i].key == now.key) {
			bool changed = map->snapshots[i].value != now.value;

			map->snapshots[i] = now;
			return changed;
		}
	}
	if (map->count == MAX_WATCHED_ENTRIES)
		return false;
	map->snapshots[map->count++] = now;
	return !map_view_is_array(view) || !map_view_is_zero(view);
}

/* The message begins with the first change and counts what is too much. */
struct saying {
	struct json *json;
	size_t said, more;
};

static bool may_say(struct saying *saying, const char *map)
{
	if (saying->said == MAX_SAID_CHANGES) {
		saying->more++;
		return false;
	}
	if (!saying->said++) {
		saying->json = message_begin("change");
		json_put_string(saying->json, "map", map);
		json_key(saying->json, "entries");
		json_open(saying->json, '[');
	}
	return true;
}

static void end_saying(struct saying *saying)
{
	if (!saying->said)
		return;
	json_close(saying->json, ']');
	if (saying->more)
		json_put_unsigned(saying->json, "more", saying->more);
	message_end();
}

/* Keys that come and go must not use up the places. */
static void forget_gone(struct watched *map)
{
	size_t kept = 0;

	for (size_t i = 0; i < map->count; i++)
		if (map->snapshots[i].look == map->look)
			map->snapshots[kept++] = map->snapshots[i];
	map->count = kept;
}

static void look_at_map(struct watched *map, struct saying *saying)
{
	bool there = map_view_next(&map->view, true);

	map->look++;

	for (size_t seen = 0; there && seen < MAX_WATCHED_ENTRIES; seen++) {
		if (map_view_lookup(&map->view) && update_snapshot(map) && saying && may_say(saying, map->view.name))
			map_view_put(saying->json, &map->view);
		there = map_view_next(&map->view, false);
	}
	if (!there)
		forget_gone(map);
}

static void look_at_globals(struct watched *section, struct saying *saying)
{
	struct globals *globals = &section->globals;

	if (!globals_read(globals))
		return;
	for (int i = 0; i < btf_vlen(globals->variables); i++) {
		const struct btf_var_secinfo *variable = globals_variable(globals, i);

		if (variable && saying &&
		    memcmp(section->before + variable->offset, globals->bytes.data + variable->offset, variable->size) &&
		    may_say(saying, globals->section))
			globals_put(saying->json, globals, variable);
	}
	memcpy(section->before, globals->bytes.data, globals->bytes.size);
}

static void look_at(struct watched *map, struct saying *saying)
{
	if (map->is_globals)
		look_at_globals(map, saying);
	else
		look_at_map(map, saying);
}

static bool watch_globals(struct watched *section, struct bpf_map *map, const struct btf *btf)
{
	if (!globals_open(&section->globals, map, btf))
		return false;
	section->is_globals = true;
	section->before = calloc(1, section->globals.bytes.size);
	return section->before;
}

static bool watch_map(struct watched *map, struct bpf_map *bpf, const struct btf *btf)
{
	map->snapshots = calloc(MAX_WATCHED_ENTRIES, sizeof(*map->snapshots));
	return map_view_open(&map->view, bpf, btf) && map->snapshots;
}

static bool is_worth_watching(const struct bpf_map *map)
{
	return bpf_map__fd(map) >= 0 && !(bpf_map__map_flags(map) & BPF_F_RDONLY_PROG) &&
	       (bpf_map__is_internal(map) || (map_has_entries(bpf_map__type(map)) &&
					      bpf_map__type(map) != BPF_MAP_TYPE_STACK_TRACE));
}

static void release_watched(struct watched *map)
{
	if (map->is_globals)
		globals_close(&map->globals);
	else
		map_view_close(&map->view);
	free(map->before);
	free(map->snapshots);
	*map = (struct watched){};
}

void changes_start(const struct run *run)
{
	const struct btf *btf = bpf_object__btf(run->object);
	struct bpf_map *map;

	watched = calloc(MAX_WATCHED, sizeof(*watched));
	bpf_object__for_each_map(map, run->object) {
		struct watched *place = watched + watched_count;

		if (!watched || watched_count == MAX_WATCHED || !is_worth_watching(map))
			continue;
		if (bpf_map__is_internal(map) ? watch_globals(place, map, btf) : watch_map(place, map, btf)) {
			look_at(place, NULL);
			watched_count++;
		} else {
			release_watched(place);
		}
	}
	next_look = seconds_now() + CHANGE_SECONDS;
}

int changes_due_ms(void)
{
	double left = next_look - seconds_now();

	if (!watched_count)
		return -1;
	return left > 0 ? (int)(left * 1000) + 1 : 0;
}

void changes_say(void)
{
	if (messages_spoke()) {
		changes_stop();
		return;
	}
	for (size_t i = 0; i < watched_count; i++) {
		struct saying saying = {};

		look_at(&watched[i], &saying);
		end_saying(&saying);
	}
	next_look = seconds_now() + CHANGE_SECONDS;
}

void changes_stop(void)
{
	while (watched_count)
		release_watched(&watched[--watched_count]);
	free(watched);
	watched = NULL;
}
