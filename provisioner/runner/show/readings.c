#include "show/readings.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load/instructions.h"
#include "show/render.h"
#include "system/symbols.h"

#define MAX_READINGS 64
#define MAX_STRUCT_DEPTH 6
#define PATH_BYTES 128
#define MAX_FRAMES 127 /* PERF_MAX_STACK_DEPTH of the kernel */

/* A member of the same struct; its size is 0 when there is none. */
struct sibling {
	size_t offset, size;
};

struct reading {
	char path[PATH_BYTES];
	enum rendering rendering;
	size_t offset;
	size_t size;
	/* Numbers beside it that tell more about it. */
	struct sibling pid, length; /* of a stack: its process, and how many bytes there are */
	struct sibling family;	    /* of 16 bytes for an address of either family */
};

static bool is_stack_rendering(enum rendering rendering)
{
	return rendering == RENDER_STACK || rendering == RENDER_STACK_ID;
}

struct readings {
	const struct btf *btf;
	struct reading list[MAX_READINGS];
	size_t count;
};

static struct reading *add_reading(struct readings *readings, const char *path, enum rendering rendering,
				   size_t offset, size_t size)
{
	struct reading *reading = &readings->list[readings->count];

	if (readings->count == MAX_READINGS)
		return NULL;
	readings->count++;
	*reading = (struct reading){ .rendering = rendering, .offset = offset, .size = size };
	snprintf(reading->path, sizeof(reading->path), "%s", path);
	return reading;
}

/* Where among its siblings a whole number of this name is: a negative number when there is none. */
static int find_number_member(const struct btf *btf, const struct btf_type *type, const char *name)
{
	for (int i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *member = btf_members(type) + i;
		const struct btf_type *member_type = btf_resolve(btf, member->type);

		if (!strcmp(btf__name_by_offset(btf, member->name_off), name) && member_type &&
		    btf_is_int(member_type) && !btf_member_bitfield_size(type, i))
			return i;
	}
	return -1;
}

static void note_sibling(const struct btf *btf, const struct btf_type *type, const char *name, size_t base,
			 struct sibling *sibling)
{
	int index = find_number_member(btf, type, name);

	if (index < 0 || sibling->size)
		return;
	sibling->offset = base + btf_member_bit_offset(type, index) / 8;
	sibling->size = btf__resolve_size(btf, btf_members(type)[index].type);
}

static void note_stack_siblings(const struct btf *btf, const struct btf_type *type, const char *name, size_t base,
				struct reading *reading)
{
	static const char *const LENGTHS[] = { "%s_sz", "%s_size", "%s_len", "%ssz" };
	char length_name[64];

	note_sibling(btf, type, "tgid", base, &reading->pid);
	note_sibling(btf, type, "pid", base, &reading->pid);
	for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
		snprintf(length_name, sizeof(length_name), LENGTHS[i], name);
		note_sibling(btf, type, length_name, base, &reading->length);
	}
}

/* Where in a value the search is. */
struct spot {
	const char *path;
	const char *name;
	size_t offset;
	int depth;
	const struct btf_type *outer; /* the struct this is a member of, or NULL */
	size_t outer_offset;
};

static void note_siblings(const struct btf *btf, const struct spot *spot, struct reading *reading)
{
	if (is_stack_rendering(reading->rendering))
		note_stack_siblings(btf, spot->outer, spot->name, spot->outer_offset, reading);
	if (reading->rendering == RENDER_IPV6) {
		note_sibling(btf, spot->outer, "family", spot->outer_offset, &reading->family);
		note_sibling(btf, spot->outer, "af", spot->outer_offset, &reading->family);
	}
}

static void collect_member_readings(struct readings *readings, const struct btf_type *type, const struct spot *spot);

static void collect_readings(struct readings *readings, __u32 type_id, const struct spot *spot)
{
	const struct btf_type *type = btf_resolve(readings->btf, type_id);
	enum rendering rendering = rendering_of(readings->btf, type_id, spot->name);
	__s64 size = btf__resolve_size(readings->btf, type_id);
	struct reading *reading;

	if (!type || size < 0)
		return;
	if (rendering != RENDER_NOTHING) {
		reading = add_reading(readings, spot->path, rendering, spot->offset, size);
		if (reading && spot->outer)
			note_siblings(readings->btf, spot, reading);
	} else if (btf_is_composite(type) && spot->depth < MAX_STRUCT_DEPTH) {
		collect_member_readings(readings, type, spot);
	}
}

static void collect_member_readings(struct readings *readings, const struct btf_type *type, const struct spot *spot)
{
	char path[PATH_BYTES];

	for (int i = 0; i < btf_vlen(type); i++) {
		const char *name = btf__name_by_offset(readings->btf, btf_members(type)[i].name_off);
		struct spot member = { path, name, spot->offset + btf_member_bit_offset(type, i) / 8,
				       spot->depth + 1, type, spot->offset };

		if (btf_member_bitfield_size(type, i))
			continue;
		snprintf(path, sizeof(path), "%s%s%s", spot->path, *spot->path && *name ? "." : "", name);
		collect_readings(readings, btf_members(type)[i].type, &member);
	}
}

/* Of a value without fields only an address is taken for what it is by the name of its map: counts are kept by time. */
static void collect_by_map_name(struct readings *readings, __u32 type_id, const struct spot *spot, const char *name)
{
	enum rendering rendering = rendering_of(readings->btf, type_id, name);

	if (!readings->count && (rendering == RENDER_IPV4 || rendering == RENDER_IPV6))
		add_reading(readings, spot->path, rendering, 0, btf__resolve_size(readings->btf, type_id));
}

struct readings *readings_find(const struct btf *btf, __u32 type_id, const char *root, const char *map)
{
	struct readings *readings = btf && type_id ? calloc(1, sizeof(*readings)) : NULL;
	struct spot spot = { .path = root, .name = "" };

	if (!readings)
		return NULL;
	readings->btf = btf;
	collect_readings(readings, type_id, &spot);
	if (map)
		collect_by_map_name(readings, type_id, &spot, map);
	if (!readings->count) {
		free(readings);
		return NULL;
	}
	return readings;
}

void readings_free(struct readings *readings)
{
	free(readings);
}

static void begin_shown(struct shown *shown, const char *path)
{
	if (!shown->begun) {
		json_key(shown->json, "shown");
		json_open(shown->json, '{');
		shown->begun = true;
	}
	json_key(shown->json, path);
}

void shown_end(struct shown *shown)
{
	if (shown->begun)
		json_close(shown->json, '}');
}

static void put_frame(struct json *json, __u64 address, long pid)
{
	char text[512];

	if (!symbol_of_kernel(address, text, sizeof(text)) && !symbol_of_process(pid, address, text, sizeof(text)))
		snprintf(text, sizeof(text), "0x%llx", address);
	json_string(json, text);
}

void shown_add_stack(struct shown *shown, const char *path, const __u64 *addresses, size_t count, long pid)
{
	if (!count || !addresses[0])
		return;
	begin_shown(shown, path);
	json_open(shown->json, '[');
	for (size_t i = 0; i < count && addresses[i]; i++)
		put_frame(shown->json, addresses[i], pid);
	json_close(shown->json, ']');
}

#define MAX_STACK_MAPS 8

static const struct bpf_map *stack_maps[MAX_STACK_MAPS];
static size_t stack_map_count;

void readings_use_stacks(const struct run *run)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, run->object)
		if (bpf_map__type(map) == BPF_MAP_TYPE_STACK_TRACE && stack_map_count < MAX_STACK_MAPS &&
		    bpf_map__fd(map) >= 0 && !(bpf_map__map_flags(map) & BPF_F_STACK_BUILD_ID) &&
		    bpf_map__value_size(map) <= MAX_FRAMES * sizeof(__u64))
			stack_maps[stack_map_count++] = map;
	if (stack_map_count || programs_call(run, BPF_FUNC_get_stack))
		symbols_prepare();
}

/* A program rarely has two maps of stacks, and then one of them knows the id. */
static size_t find_stack(__u32 id, __u64 *addresses)
{
	for (size_t i = 0; i < stack_map_count; i++)
		if (!bpf_map_lookup_elem(bpf_map__fd(stack_maps[i]), &id, addresses))
			return bpf_map__value_size(stack_maps[i]) / sizeof(__u64);
	return 0;
}

static __s64 read_sibling(const struct btf_bytes *bytes, const struct sibling *sibling)
{
	__s64 value = 0;

	if (sibling->size > sizeof(value) || sibling->offset + sibling->size > bytes->size)
		return 0;
	memcpy(&value, bytes->data + sibling->offset, sibling->size);
	/* Lengths and ids are negative when they are errors, and those are 4 or 8 bytes. */
	return sibling->size == 4 ? (__s32)value : value;
}

static void add_shown_stack(struct shown *shown, const struct reading *reading, const struct btf_bytes *bytes)
{
	long pid = read_sibling(bytes, &reading->pid);
	__u64 addresses[MAX_FRAMES] = {};
	size_t count;

	if (reading->rendering == RENDER_STACK_ID) {
		__s64 id = read_sibling(bytes, &(struct sibling){ reading->offset, reading->size });

		count = id < 0 ? 0 : find_stack(id, addresses);
	} else {
		size_t size = reading->size < sizeof(addresses) ? reading->size : sizeof(addresses);
		__s64 length = reading->length.size ? read_sibling(bytes, &reading->length) : (__s64)size;

		if (length < 0)
			return;
		memcpy(addresses, bytes->data + reading->offset, size);
		count = ((size_t)length < size ? (size_t)length : size) / sizeof(__u64);
	}
	shown_add_stack(shown, reading->path, addresses, count, pid);
}

/* Four bytes of a place for sixteen, unless it holds the address as ::ffff:192.0.2.1. */
static bool is_short_address(const struct reading *reading, const struct btf_bytes *bytes)
{
	struct in6_addr address;

	memcpy(&address, bytes->data + reading->offset, sizeof(address));
	return read_sibling(bytes, &reading->family) == AF_INET && !IN6_IS_ADDR_V4MAPPED(&address);
}

static void add_shown_text(struct shown *shown, const struct reading *reading, const struct btf_bytes *bytes)
{
	enum rendering rendering = reading->rendering;
	char text[512];

	if (reading->family.size && is_short_address(reading, bytes))
		rendering = RENDER_IPV4;
	if (!render(rendering, bytes->data + reading->offset, reading->size, text, sizeof(text)))
		return;
	begin_shown(shown, reading->path);
	json_string(shown->json, text);
}

/* Copies of several CPUs are sums, of which only the plain number is said. */
void shown_add(struct shown *shown, const struct readings *readings, const struct btf_bytes *bytes)
{
	for (size_t i = 0; readings && bytes->copies == 1 && i < readings->count; i++) {
		const struct reading *reading = &readings->list[i];

		if (reading->offset + reading->size > bytes->size)
			continue;
		if (is_stack_rendering(reading->rendering))
			add_shown_stack(shown, reading, bytes);
		else
			add_shown_text(shown, reading, bytes);
	}
}
