#include "load/map_defaults.h"

#include <bpf/bpf.h>

#include "message.h"

#define DEFAULT_ENTRIES 1024
#define DEFAULT_VALUE_BYTES 8
#define STACK_DEPTH 127 /* PERF_MAX_STACK_DEPTH, what a kernel allows unless told otherwise */

/* Storage of an object has no size of its own, nor has what only struct_ops or an arena makes. */
static bool has_entries(enum bpf_map_type type)
{
	switch ((int)type) {
	case BPF_MAP_TYPE_SK_STORAGE:
	case BPF_MAP_TYPE_INODE_STORAGE:
	case BPF_MAP_TYPE_TASK_STORAGE:
	case BPF_MAP_TYPE_CGROUP_STORAGE:
	case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
	case 32: /* BPF_MAP_TYPE_CGRP_STORAGE, Linux 6.2 */
	case BPF_MAP_TYPE_STRUCT_OPS:
	case BPF_MAP_TYPE_RINGBUF: /* these three: see events.c */
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
	case 33: /* BPF_MAP_TYPE_ARENA, Linux 6.9 */
		return false;
	default:
		return true;
	}
}

static bool has_values(enum bpf_map_type type)
{
	return has_entries(type) && type != BPF_MAP_TYPE_USER_RINGBUF;
}

static bool has_keys(enum bpf_map_type type)
{
	return has_values(type) && type != BPF_MAP_TYPE_QUEUE && type != BPF_MAP_TYPE_STACK &&
	       type != BPF_MAP_TYPE_BLOOM_FILTER;
}

static bool needs_inner_map(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_ARRAY_OF_MAPS || bpf_map__type(map) == BPF_MAP_TYPE_HASH_OF_MAPS;
}

/* Only its own loader knows what it is of; numbers are the likeliest. */
static void set_default_inner_map(struct bpf_map *map)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "inner", sizeof(__u32), DEFAULT_VALUE_BYTES, DEFAULT_ENTRIES, NULL);

	/* The descriptor must stay open until the load; it ends with us. */
	if (fd >= 0 && !bpf_map__set_inner_map_fd(map, fd))
		message_log("note", "map %s does not say what its maps are; they are taken as hash maps of 4-byte keys "
				    "and %d-byte values, and __array(values, ...) says more",
			    bpf_map__name(map), DEFAULT_VALUE_BYTES);
}

/*
 * The buffers of records among its maps, as events.c makes them of those that stand by themselves. Other loaders do
 * that for inner maps too; libbpf lets them only be replaced.
 */
static void replace_inner_buffer(struct bpf_map *map, const struct bpf_map *inner)
{
	bool perf = bpf_map__type(inner) == BPF_MAP_TYPE_PERF_EVENT_ARRAY;
	__u32 entries = bpf_map__max_entries(inner) ? bpf_map__max_entries(inner) : (__u32)libbpf_num_possible_cpus();
	__u32 size = perf ? sizeof(__u32) : 0;
	int fd;

	if (!perf && bpf_map__type(inner) != BPF_MAP_TYPE_RINGBUF)
		return;
	fd = bpf_map_create(bpf_map__type(inner), "inner", size, size, entries, NULL);
	if (fd >= 0)
		bpf_map__set_inner_map_fd(map, fd); /* open until the load, as above */
}

static __u32 default_entries(enum bpf_map_type type)
{
	switch (type) {
	case BPF_MAP_TYPE_USER_RINGBUF:
		return 256 * 1024;
	case BPF_MAP_TYPE_CPUMAP:
		return libbpf_num_possible_cpus();
	default:
		return DEFAULT_ENTRIES;
	}
}

static void set_default_sizes(struct bpf_map *map, enum bpf_map_type type)
{
	__u32 value = type == BPF_MAP_TYPE_STACK_TRACE ? STACK_DEPTH * sizeof(__u64) : DEFAULT_VALUE_BYTES;

	if (has_keys(type) && !bpf_map__key_size(map))
		bpf_map__set_key_size(map, sizeof(__u32));
	if (has_values(type) && !bpf_map__value_size(map) && !needs_inner_map(map)) {
		bpf_map__set_value_size(map, value);
		message_log("note", "map %s has no value size, %u bytes are taken", bpf_map__name(map), value);
	}
	if (has_entries(type) && !bpf_map__max_entries(map)) {
		__u32 entries = default_entries(type);

		bpf_map__set_max_entries(map, entries);
		message_log("note", "map %s has no max_entries, %u are taken", bpf_map__name(map), entries);
	}
	/* More than the kernel was built for is refused, and no more than there are can be redirected to. */
	if (type == BPF_MAP_TYPE_CPUMAP && bpf_map__max_entries(map) > default_entries(type))
		bpf_map__set_max_entries(map, default_entries(type));
}

void map_set_defaults(struct bpf_map *map)
{
	if (bpf_map__is_internal(map))
		return;
	set_default_sizes(map, bpf_map__type(map));
	if (needs_inner_map(map) && !bpf_map__inner_map(map))
		set_default_inner_map(map);
	else if (needs_inner_map(map))
		replace_inner_buffer(map, bpf_map__inner_map(map));
}
