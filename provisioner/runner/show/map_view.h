/* A map as one entry after the other, whoever made it: the object, or a program of it inside another map. */
#ifndef RUNNER_MAP_VIEW_H
#define RUNNER_MAP_VIEW_H

#include "run.h"
#include "show/btf_json.h"
#include "show/readings.h"

struct map_view {
	const char *name;
	const struct btf *btf;
	enum bpf_map_type type;
	int fd;
	size_t key_size, value_size;
	__u32 max_entries;
	__u32 key_type, value_type;	/* BTF, 0 when unknown */
	size_t copies;			/* CPUs, or 1 */
	size_t stride;
	bool has_stacks;		/* values are addresses of code */
	void *key;
	void *value;
	struct readings *key_readings, *value_readings;
};

/* Both are closed by map_view_close, also when they fail. */
bool map_view_open(struct map_view *view, const struct bpf_map *map, const struct btf *btf);
/* A map inside the one called "outer", with the types that this declares. */
bool map_view_open_inner(struct map_view *view, int fd, const char *outer, const struct btf *btf);
void map_view_close(struct map_view *view);

bool map_view_next(struct map_view *view, bool first);	/* the next key */
bool map_view_lookup(struct map_view *view);		/* its value; false when it has gone meanwhile */
bool map_view_is_array(const struct map_view *view);
bool map_view_is_zero(const struct map_view *view);	/* the value */
size_t map_view_value_bytes(const struct map_view *view); /* of all CPUs */

/* {"key": .., "value": .., "shown"?: {..}} of what was read last. */
void map_view_put(struct json *json, const struct map_view *view);

#endif
