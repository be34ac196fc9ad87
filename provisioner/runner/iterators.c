#include "iterators.h"

#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "util.h"

#define KEPT_BYTES (1 << 20)

bool is_iterator(const struct program *program)
{
	return program->type == BPF_PROG_TYPE_TRACING && section_under(program->section, "iter");
}

/* Returns how many bytes were left out, or a negative errno. */
static ssize_t read_to_end(int fd, struct text *text)
{
	ssize_t left_out = 0;
	char data[16384];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) {
		if (n > 0 && text->size + n <= KEPT_BYTES)
			text_append(text, data, n);
		else if (n > 0)
			left_out += n;
	}
	return n < 0 ? -errno : left_out;
}

static void say(const struct program *program, const struct text *text, size_t left_out)
{
	struct json *json = message_begin("iterator");
	bool binary = text->size && memchr(text->data, 0, text->size);

	json_put_string(json, "program", program->name);
	json_key(json, binary ? "hex" : "text");
	if (binary)
		json_hex(json, text->data, text->size);
	else
		json_string_n(json, text->data ? text->data : "", text->size);
	if (left_out)
		json_put_unsigned(json, "truncated", left_out);
	message_end();
}

static void read_one(struct program *program)
{
	int fd = bpf_iter_create(bpf_link__fd(program->link));
	struct text text = {};
	ssize_t left_out = fd < 0 ? fd : read_to_end(fd, &text);

	if (left_out < 0)
		message_log("warning", "iterator %s stopped: %s", program->name, strerror(-left_out));
	if (fd >= 0) {
		say(program, &text, left_out > 0 ? left_out : 0);
		close(fd);
	}
	text_free(&text);
}

void iterators_read(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (is_iterator(&run->programs[i]) && run->programs[i].state == PROGRAM_ATTACHED)
			read_one(&run->programs[i]);
}
