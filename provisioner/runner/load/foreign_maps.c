#include "load/foreign_maps.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define MAX_PROGRAM_MAPS 64

/* Pinned maps have "_" for ".", as the kernel's directory takes no dot, and the kernel cuts off a long name. */
static bool is_same_name(const char *ours, const char *theirs)
{
	size_t length = strlen(theirs);

	for (size_t i = 0; i < length; i++)
		if (ours[i] != theirs[i] && !(ours[i] == '.' && theirs[i] == '_'))
			return false;
	return !ours[length] || length == BPF_OBJ_NAME_LEN - 1;
}

/* Of a section only what follows the object's name, which each loader gives it from the file: "hello.bss". */
static bool is_same_section(const char *ours, const char *theirs)
{
	const char *section = strchr(ours, '.');
	size_t length = section ? strlen(section) : 0, their_length = strlen(theirs);

	return section && their_length >= length && is_same_name(section, theirs + their_length - length);
}

static struct bpf_map *find_map(const struct run *run, const char *theirs)
{
	struct bpf_map *map, *section = NULL;

	bpf_object__for_each_map(map, run->object) {
		if (bpf_map__fd(map) >= 0)
			continue;
		if (bpf_map__is_internal(map) && is_same_section(bpf_map__name(map), theirs))
			section = map;
		else if (!bpf_map__is_internal(map) && is_same_name(bpf_map__name(map), theirs))
			return map;
	}
	return section;
}

static void take_over_map(struct run *run, int fd, const char *name)
{
	struct bpf_map *map = fd < 0 ? NULL : find_map(run, name);

	if (map)
		bpf_map__reuse_fd(map, fd);
	if (fd >= 0)
		close(fd);
}

void foreign_maps_pinned(struct run *run, const char *directory)
{
	DIR *pins = opendir(directory);
	struct dirent *entry;
	char path[512];

	while (pins && (entry = readdir(pins))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		take_over_map(run, bpf_obj_get(path), entry->d_name);
	}
	if (pins)
		closedir(pins);
}

static void take_over_by_id(struct run *run, __u32 id)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);
	int fd = bpf_map_get_fd_by_id(id);

	if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size))
		take_over_map(run, fd, info.name);
	else if (fd >= 0)
		close(fd);
}

void foreign_maps_of_program(struct run *run, int program_fd)
{
	__u32 ids[MAX_PROGRAM_MAPS];
	struct bpf_prog_info info = { .nr_map_ids = COUNT(ids), .map_ids = (unsigned long)ids };
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(program_fd, &info, &size))
		return;
	for (__u32 i = 0; i < info.nr_map_ids && i < COUNT(ids); i++)
		take_over_by_id(run, ids[i]);
}
