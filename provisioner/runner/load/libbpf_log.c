#include "load/libbpf_log.h"

#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "message.h"
#include "util.h"

static struct text warnings;
static bool show_debug;

/*
 * Warnings about what is in order: a ring buffer that names its value type is made without BTF; the second program
 * on a device finds clsact there.
 */
static bool is_noise(const char *line)
{
	return strstr(line, "Retrying without BTF") || strstr(line, "Exclusivity flag on");
}

static int keep(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[4096];
	int length = vsnprintf(line, sizeof(line), format, arguments);

	if (show_debug)
		fputs(line, stderr);
	if (level == LIBBPF_WARN && length > 0 && !is_noise(line))
		text_append(&warnings, line, strlen(line));
	return length;
}

void libbpf_log_start(bool verbose)
{
	show_debug = verbose;
	libbpf_set_print(keep);
}

const char *libbpf_log_text(void)
{
	return warnings.data ? warnings.data : "";
}

static const char *without_prefix(const char *line)
{
	return strncmp(line, "libbpf: ", 8) ? line : line + 8;
}

const char *libbpf_log_last_line(void)
{
	static char line[512];
	const char *text = libbpf_log_text();
	size_t length = strlen(text);
	size_t from;

	while (length && text[length - 1] == '\n')
		length--;
	for (from = length; from && text[from - 1] != '\n';)
		from--;
	snprintf(line, sizeof(line), "%.*s", (int)(length - from), text + from);
	return without_prefix(line);
}

void libbpf_log_clear(void)
{
	text_free(&warnings);
}

void libbpf_log_forward(void)
{
	char *rest = NULL;

	if (warnings.data)
		for (char *line = strtok_r(warnings.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			message_log("warning", "%s", without_prefix(line));
	libbpf_log_clear();
}
