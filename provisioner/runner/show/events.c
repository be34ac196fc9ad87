#include "show/events.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load/map_types.h"
#include "message.h"
#include "show/btf_json.h"
#include "show/event_type.h"
#include "show/losses.h"
#include "show/readings.h"

#define PERF_PAGES 64			/* a CPU; must be a power of two */
#define SMALLEST_RING_BYTES (4 * 1024 * 1024) /* a burst must not be lost while we write */
#define RING_HEADER_BYTES 16		/* BPF_RINGBUF_HDR_SZ, and the padding to 8 bytes */
#define KNOWN_SIZES 16
#define MAX_MAPS 32
#define LOOK_MILLISECONDS 250	/* at ring buffers, whose programs may send without waking anybody */
#define RECORDS_AT_ONCE 4096 /* then the main loop has a look at its signals and its clock */

/* What the records of one length are. */
struct record_type {
	size_t size;
	__u32 type_id; /* 0: unknown */
	bool guessed;
	char name[128];
	struct readings *readings;
};

struct event_map {
	const char *name;
	int fd;
	const struct btf *btf;
	__u32 declared; /* the struct that the map itself names, or 0 */
	bool perf;
	struct ring_buffer *ring;	/* each its own: in a common one a flood in the first starves the others */
	struct perf_buffer *buffer;
	struct record_type known[KNOWN_SIZES];
	size_t known_count;
	size_t unread; /* records that were counted only (messages_full) */
	/* Of a ring buffer, to see that it is full: */
	size_t size;
	size_t largest; /* record so far */
	const volatile unsigned long *consumer, *producer;
	bool was_full;
	bool losses_counted;
};

static struct event_map *maps[MAX_MAPS];
static size_t map_count;
static size_t records;

static bool is_ring(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF;
}

static bool is_perf(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_PERF_EVENT_ARRAY;
}

void events_prepare_map(struct bpf_map *map)
{
	if (is_ring(map)) {
		bpf_map__set_key_size(map, 0);
		bpf_map__set_value_size(map, 0);
		if (bpf_map__max_entries(map) < SMALLEST_RING_BYTES)
			bpf_map__set_max_entries(map, SMALLEST_RING_BYTES);
	} else if (is_perf(map)) {
		bpf_map__set_key_size(map, sizeof(__u32));
		bpf_map__set_value_size(map, sizeof(__u32));
	}
}

static bool is_struct(const struct event_map *map, __u32 type_id)
{
	return event_type_struct(map->btf, type_id);
}

static void identify(const struct event_map *map, struct record_type *record)
{
	if (map->declared)
		record->type_id = map->declared;
	else if (map->btf)
		record->type_id = event_type_find(map->btf, map->name, record->size, map->perf, &record->guessed);
	if (!record->type_id)
		return;
	btf_type_name(map->btf, record->type_id, record->name, sizeof(record->name));
	record->readings = readings_find(map->btf, record->type_id, is_struct(map, record->type_id) ? "" : "value", NULL);
}

/* The last place serves all lengths beyond those that are kept. */
static const struct record_type *record_type(struct event_map *map, size_t size)
{
	struct record_type *record;

	for (size_t i = 0; i < map->known_count; i++)
		if (map->known[i].size == size)
			return &map->known[i];
	if (map->known_count < KNOWN_SIZES)
		map->known_count++;
	record = &map->known[map->known_count - 1];
	readings_free(record->readings);
	*record = (struct record_type){ .size = size };
	identify(map, record);
	return record;
}

static void put_rest(struct json *json, const struct event_map *map, __u32 type_id, const unsigned char *data,
		     size_t size)
{
	size_t known = btf__resolve_size(map->btf, type_id);

	if (size <= known || btf_is_flexible(map->btf, type_id) || (map->perf && size - known < 8))
		return;
	json_key(json, "rest");
	json_hex(json, data + known, size - known);
}

/* A record that is but a number or an array has one field. */
static void put_fields(struct json *json, const struct btf_bytes *bytes, __u32 type_id, bool whole)
{
	if (!whole) {
		json_open(json, '{');
		json_key(json, "value");
	}
	btf_json_value(json, bytes, type_id, 0);
	if (!whole)
		json_close(json, '}');
}

static void put_record(struct json *json, struct event_map *map, const void *data, size_t size)
{
	const struct record_type *record = record_type(map, size);
	struct btf_bytes bytes = { map->btf, data, size, 1, 0 };
	struct shown shown = { .json = json };

	if (!record->type_id) {
		json_key(json, "hex");
		json_hex(json, data, size);
		return;
	}
	json_put_string(json, "struct", *record->name ? record->name : NULL);
	if (record->guessed)
		json_put_bool(json, "guessed", true);
	json_key(json, "fields");
	put_fields(json, &bytes, record->type_id, is_struct(map, record->type_id));
	shown_add(&shown, record->readings, &bytes);
	shown_end(&shown);
	put_rest(json, map, record->type_id, data, size);
}

static void say_lost_records(const struct event_map *map, __u64 count)
{
	struct json *json = message_begin("lost");

	json_put_string(json, "source", map->name);
	json_put_unsigned(json, "count", count);
	message_end();
}

static void say_losses(struct event_map *map)
{
	__u64 count = map->losses_counted && !messages_full() ? losses_take(map->fd) : 0;

	if (count)
		say_lost_records(map, count);
}

/* Some kernels refuse the record that would just have fitted. */
static bool is_full(const struct event_map *map)
{
	size_t room = 2 * (map->largest + RING_HEADER_BYTES);

	return map->consumer && *map->producer - *map->consumer + room > map->size;
}

/*
 * The kernel does not count the records that found no room, but one can see that there is none: at each record, as a
 * burst may be over before the next round.
 */
static void check_room(struct event_map *map)
{
	if (map->was_full || map->losses_counted || !is_full(map))
		return;
	map->was_full = true;
	message_log("warning", "the ring buffer %s was full: records that came then are lost, nobody knows how many",
		    map->name);
}

static int on_ring_record(void *context, void *data, size_t size)
{
	struct event_map *map = context;
	struct json *json;

	map->largest = size > map->largest ? size : map->largest;
	check_room(map);
	if (messages_full()) {
		map->unread++;
	} else {
		json = message_begin("event");
		json_put_string(json, "map", map->name);
		put_record(json, map, data, size);
		message_end();
	}
	return ++records % RECORDS_AT_ONCE ? 0 : -EAGAIN;
}

static void on_perf_record(void *context, int cpu, void *data, __u32 size)
{
	(void)cpu;
	on_ring_record(context, data, size);
}

static void on_perf_lost(void *context, int cpu, __u64 count)
{
	(void)cpu;
	say_lost_records(context, count);
}

static void say_unread_records(struct event_map *map)
{
	if (!map->unread || messages_full())
		return;
	say_lost_records(map, map->unread);
	map->unread = 0;
}

/* The first page of a ring buffer holds the consumer's position, the second one the producer's. */
static void map_positions(const struct bpf_map *bpf, struct event_map *map)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *pages = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, bpf_map__fd(bpf), 0);

	map->size = bpf_map__max_entries(bpf);
	if (pages == MAP_FAILED)
		return;
	map->consumer = pages;
	map->producer = (void *)((char *)pages + page);
}

static void unmap_positions(struct event_map *map)
{
	if (map->consumer)
		munmap((void *)map->consumer, 2 * sysconf(_SC_PAGESIZE));
}

static int open_ring(struct bpf_map *bpf, struct event_map *map)
{
	map_positions(bpf, map);
	map->ring = ring_buffer__new(bpf_map__fd(bpf), on_ring_record, map, NULL);
	return map->ring ? 0 : -errno;
}

static int open_perf(struct bpf_map *bpf, struct event_map *map)
{
	map->perf = true;
	map->buffer = perf_buffer__new(bpf_map__fd(bpf), PERF_PAGES, on_perf_record, on_perf_lost, map, NULL);
	return map->buffer ? 0 : -errno;
}

static void open_map(const struct run *run, const struct btf *btf, struct bpf_map *bpf)
{
	struct event_map *map = calloc(1, sizeof(*map));
	int error;

	if (!map)
		return;
	map->name = bpf_map__name(bpf);
	map->fd = bpf_map__fd(bpf);
	map->btf = btf;
	map->losses_counted = is_ring(bpf) && losses_count(run, map->fd);
	map->declared = btf ? event_type_struct(btf, map_value_type(bpf)) : 0;
	maps[map_count++] = map;
	error = is_ring(bpf) ? open_ring(bpf, map) : open_perf(bpf, map);
	if (error)
		message_log("warning", "cannot read the records of map %s: %s", map->name, strerror(-error));
}

void events_open(struct run *run)
{
	const struct btf *btf = bpf_object__btf(run->object);
	struct bpf_map *map;

	readings_use_stacks(run);
	bpf_object__for_each_map(map, run->object)
		if ((is_ring(map) || is_perf(map)) && bpf_map__fd(map) >= 0 && map_count < MAX_MAPS)
			open_map(run, btf, map);
}

size_t events_descriptors(int *descriptors, size_t limit)
{
	size_t count = 0;

	for (size_t i = 0; i < map_count && count < limit; i++) {
		if (maps[i]->ring)
			descriptors[count++] = ring_buffer__epoll_fd(maps[i]->ring);
		else if (maps[i]->buffer)
			descriptors[count++] = perf_buffer__epoll_fd(maps[i]->buffer);
	}
	return count;
}

int events_due_ms(void)
{
	for (size_t i = 0; i < map_count; i++)
		if (maps[i]->ring)
			return LOOK_MILLISECONDS;
	return -1;
}

bool events_consume(void)
{
	size_t before = records;

	for (size_t i = 0; i < map_count; i++) {
		if (maps[i]->ring)
			ring_buffer__consume(maps[i]->ring);
		if (maps[i]->buffer)
			perf_buffer__consume(maps[i]->buffer);
		say_unread_records(maps[i]);
	}
	return records != before;
}

void events_say_losses(void)
{
	for (size_t i = 0; i < map_count; i++)
		say_losses(maps[i]);
}

void events_close(void)
{
	losses_close();
	for (size_t i = 0; i < map_count; i++) {
		ring_buffer__free(maps[i]->ring);
		perf_buffer__free(maps[i]->buffer);
		unmap_positions(maps[i]);
		for (size_t known = 0; known < maps[i]->known_count; known++)
			readings_free(maps[i]->known[known].readings);
		free(maps[i]);
	}
	map_count = 0;
}
