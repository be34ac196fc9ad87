#include "attach/iterators.h"

#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach/cgroups.h"
#include "message.h"
#include "show/btf_json.h"
#include "show/event_type.h"
#include "show/readings.h"
#include "util.h"

#define KEPT_BYTES (1 << 20)

bool is_iterator(const struct program *program)
{
	return program->type == BPF_PROG_TYPE_TRACING && section_under(program->section, "iter");
}

static const char *iterator_target(const struct program *program)
{
	const char *target = strchr(program->section, '/');

	return target ? target + 1 : "";
}

static bool goes_through_a_map(const struct program *program)
{
	static const char *const targets[] = { "bpf_map_elem", "bpf_sk_storage_map", "sockmap" };

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (!strcmp(iterator_target(program), targets[i]))
			return true;
	return false;
}


static bool goes_through_tasks(const struct program *program)
{
	return !strncmp(iterator_target(program), "task", 4);
}

static int attach_with(struct program *program, union bpf_iter_link_info *info)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = info, .link_info_len = sizeof(*info));

	program->link = bpf_program__attach_iter(program->bpf, &opts);
	return program->link ? 0 : -errno;
}

/* The first map of the object that the kernel finds fit: of the right type, keys and values as long as are read. */
static int attach_to_a_map(struct run *run, struct program *program)
{
	union bpf_iter_link_info info = {};
	int error = -ENOENT;
	struct bpf_map *map;

	bpf_object__for_each_map(map, run->object) {
		if (bpf_map__is_internal(map) || bpf_map__fd(map) < 0)
			continue;
		info.map.map_fd = bpf_map__fd(map);
		error = attach_with(program, &info);
		if (!error) {
			snprintf(program->target, sizeof(program->target), "%s %s", iterator_target(program),
				 bpf_map__name(map));
			return 0;
		}
	}
	program_set(program, PROGRAM_FAILED, "the object has no map that %s can go through",
		    iterator_target(program));
	return 0;
}

static int attach_to_cgroups(struct run *run, struct program *program)
{
	union bpf_iter_link_info info = { .cgroup.order = BPF_CGROUP_ITER_DESCENDANTS_PRE };
	int fd = run->options.cgroup ? open(run->options.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : cgroups_root();
	int error;

	if (fd < 0)
		return run->options.cgroup ? -errno : fd;
	info.cgroup.cgroup_fd = fd;
	error = attach_with(program, &info);
	close(fd);
	return error;
}

int attach_iterator(struct run *run, struct program *program)
{
	union bpf_iter_link_info info = {};

	snprintf(program->target, sizeof(program->target), "%s", iterator_target(program));
	if (goes_through_a_map(program))
		return attach_to_a_map(run, program);
	if (!strcmp(iterator_target(program), "cgroup"))
		return attach_to_cgroups(run, program);
	if (goes_through_tasks(program))
		info.task.pid = run->options.pid;
	return attach_with(program, &info);
}

/*
 * Returns how many bytes were left out, or a negative errno. The reads are as large as the kernel's own buffer
 * (8 pages): an iterator through cgroups does not go on after its first read.
 */
static ssize_t read_to_end(int fd, struct text *text)
{
	static char data[65536];
	ssize_t left_out = 0;
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) {
		if (n > 0 && !left_out && text->size + n <= KEPT_BYTES)
			text_append(text, data, n);
		else if (n > 0)
			left_out += n;
	}
	return n < 0 ? -errno : left_out;
}

/*
 * A read of one byte makes the kernel stop behind the first element that writes something, and the next read gives
 * the rest of that.
 */
static size_t element_length(const struct program *program)
{
	int fd = bpf_iter_create(bpf_link__fd(program->link));
	char rest[4096];
	ssize_t first = read(fd, rest, 1), more = first > 0 ? read(fd, rest, sizeof(rest)) : 0;

	if (fd >= 0)
		close(fd);
	return first > 0 ? first + (more > 0 ? more : 0) : 0;
}

/*
 * The struct that an anchor of the build says the program writes, be it several times for an element, or one of
 * exactly the element's length.
 */
static __u32 record_struct(const struct btf *btf, const struct program *program, size_t element, bool *guessed)
{
	__u32 type_id = btf && element ? event_type_find(btf, program->name, element, false, guessed) : 0;
	__s64 size = type_id && event_type_struct(btf, type_id) ? btf__resolve_size(btf, type_id) : 0;

	return size > 0 && (*guessed ? (__s64)element == size : element % size == 0) ? type_id : 0;
}

static void put_iterator_record(struct json *json, const struct btf_bytes *bytes, __u32 type_id,
				const struct readings *readings)
{
	struct shown shown = { .json = json };

	json_open(json, '{');
	json_key(json, "fields");
	btf_json_value(json, bytes, type_id, 0);
	shown_add(&shown, readings, bytes);
	shown_end(&shown);
	json_close(json, '}');
}

/* Returns false when the records' type is not known. */
static bool put_records(struct json *json, const struct btf *btf, const struct program *program,
			const struct text *text)
{
	bool guessed = false;
	__u32 type_id = record_struct(btf, program, element_length(program), &guessed);
	struct readings *readings;
	char name[128];
	size_t record;

	if (!type_id)
		return false;
	record = btf__resolve_size(btf, type_id);
	btf_type_name(btf, type_id, name, sizeof(name));
	json_put_string(json, "struct", name);
	if (guessed)
		json_put_bool(json, "guessed", true);
	json_key(json, "records");
	json_open(json, '[');
	readings = readings_find(btf, type_id, "", NULL);
	for (size_t at = 0; at + record <= text->size; at += record) {
		struct btf_bytes bytes = { btf, (const unsigned char *)text->data + at, record, 1, 0 };

		put_iterator_record(json, &bytes, type_id, readings);
	}
	readings_free(readings);
	json_close(json, ']');
	return true;
}

static void say_iterator(const struct btf *btf, const struct program *program, const struct text *text,
			 size_t left_out)
{
	struct json *json = message_begin("iterator");
	bool binary = text->size && memchr(text->data, 0, text->size);

	json_put_string(json, "program", program->name);
	if (!binary) {
		json_key(json, "text");
		json_string_n(json, text->data ? text->data : "", text->size);
	} else if (!put_records(json, btf, program, text)) {
		json_key(json, "hex");
		json_hex(json, text->data, text->size);
	}
	if (left_out)
		json_put_unsigned(json, "truncated", left_out);
	message_end();
}

static void read_one(const struct btf *btf, struct program *program)
{
	int fd = bpf_iter_create(bpf_link__fd(program->link));
	struct text text = {};
	ssize_t left_out = fd < 0 ? fd : read_to_end(fd, &text);

	if (left_out < 0)
		message_log("warning", "iterator %s stopped: %s", program->name, strerror(-left_out));
	if (fd >= 0) {
		say_iterator(btf, program, &text, left_out > 0 ? left_out : 0);
		close(fd);
	}
	text_free(&text);
}

static bool has_company(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_ATTACHED && !is_iterator(&run->programs[i]))
			return true;
	return false;
}

static bool is_due(const struct run *run, const struct program *program, bool at_end)
{
	bool waits = run->options.trigger_count || (goes_through_a_map(program) && has_company(run));

	return is_iterator(program) && program->state == PROGRAM_ATTACHED && waits == at_end;
}

void iterators_read(struct run *run, bool at_end)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (is_due(run, &run->programs[i], at_end))
			read_one(bpf_object__btf(run->object), &run->programs[i]);
}
