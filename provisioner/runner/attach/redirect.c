#include "attach/redirect.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>

#define REDIRECT_ENTRIES 64
#define QUEUE_PACKETS 192 /* of a CPUMAP entry: three times what a driver hands over at once */

static bool is_devmap(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_DEVMAP || bpf_map__type(map) == BPF_MAP_TYPE_DEVMAP_HASH;
}

static bool is_cpumap(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_CPUMAP;
}

/* The second field of an entry, the program, is there only when the map's author left room for it. */
static bool takes_programs(const struct bpf_map *map)
{
	return bpf_map__value_size(map) >= sizeof(struct bpf_devmap_val);
}

static __u32 count_entries(const struct bpf_map *map)
{
	__u32 limit = is_cpumap(map) ? (__u32)libbpf_num_possible_cpus() : REDIRECT_ENTRIES;

	return bpf_map__max_entries(map) < limit ? bpf_map__max_entries(map) : limit;
}

static int lead_entry(const struct run *run, const struct bpf_map *map, __u32 key, int program_fd)
{
	struct bpf_cpumap_val cpu = { .qsize = QUEUE_PACKETS, .bpf_prog.fd = program_fd };
	struct bpf_devmap_val device = { .ifindex = run->device_index, .bpf_prog.fd = program_fd };

	return bpf_map_update_elem(bpf_map__fd(map), &key, is_cpumap(map) ? (void *)&cpu : (void *)&device, BPF_ANY);
}

static bool is_filled(const struct bpf_map *map, __u32 key)
{
	struct bpf_devmap_val value; /* as large as a CPUMAP's */

	return !bpf_map_lookup_elem(bpf_map__fd(map), &key, &value);
}

void redirect_fill_maps(const struct run *run)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, run->object)
		for (__u32 key = 0; (is_devmap(map) || is_cpumap(map)) && key < count_entries(map); key++)
			if (!is_filled(map, key))
				lead_entry(run, map, key, 0);
}

static bool entries_taken(const struct run *run, const struct program *program)
{
	for (const struct program *other = run->programs; other < program; other++)
		if (other->type == BPF_PROG_TYPE_XDP && other->state == PROGRAM_ATTACHED &&
		    bpf_program__expected_attach_type(other->bpf) == bpf_program__expected_attach_type(program->bpf))
			return true;
	return false;
}

static int lead_entries(const struct run *run, const struct bpf_map *map, const struct program *program)
{
	int error = 0;

	for (__u32 key = 0; key < count_entries(map) && !error; key++)
		error = lead_entry(run, map, key, bpf_program__fd(program->bpf));
	return error;
}

static int attach_to_entries(struct run *run, struct program *program, bool (*fits)(const struct bpf_map *))
{
	struct bpf_map *map;
	int error = 0;

	if (entries_taken(run, program)) {
		program_set(program, PROGRAM_SKIPPED,
			    "an entry takes one program, and another is in them; --prog %s chooses this one",
			    program->name);
		return 0;
	}
	bpf_object__for_each_map(map, run->object) {
		if (error || !fits(map) || !takes_programs(map))
			continue;
		error = lead_entries(run, map, program);
		snprintf(program->target, sizeof(program->target), "entries of %s", bpf_map__name(map));
	}
	if (!*program->target)
		program_set(program, PROGRAM_SKIPPED,
			    "it runs from an entry of a %s, and the object has none with room for a program",
			    fits == is_devmap ? "DEVMAP" : "CPUMAP");
	return error;
}

int attach_devmap(struct run *run, struct program *program)
{
	return attach_to_entries(run, program, is_devmap);
}

int attach_cpumap(struct run *run, struct program *program)
{
	return attach_to_entries(run, program, is_cpumap);
}
