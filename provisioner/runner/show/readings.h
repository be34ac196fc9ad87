/*
 * How a person reads a value, when that differs from the value itself: 192.0.2.1 for 16908480, ENOENT for -2,
 * "1.5 ms" for 1500000. Decided by its type and its name in BTF; the plain value is said in any case.
 */
#ifndef RUNNER_READINGS_H
#define RUNNER_READINGS_H

#include "run.h"
#include "show/btf_json.h"

struct readings; /* what to render in values of one type */

/*
 * root begins the paths of the readings: "key", "value", or "" for the fields of an event. map is a map's name when
 * that may tell what a value without fields is, else NULL. Returns NULL when there is nothing to render.
 */
struct readings *readings_find(const struct btf *btf, __u32 type_id, const char *root, const char *map);
void readings_free(struct readings *readings);

/* "shown": {"saddr": "192.0.2.1", "kstack": ["vfs_read+0x1a", ..]}, begun with the first one that is there. */
struct shown {
	struct json *json;
	bool begun;
};

void shown_add(struct shown *shown, const struct readings *readings, const struct btf_bytes *bytes);
void shown_add_stack(struct shown *shown, const char *path, const __u64 *addresses, size_t count, long pid);
void shown_end(struct shown *shown);

/* Where stack ids are looked up; to be called before the programs are attached. */
void readings_use_stacks(const struct run *run);

#endif
