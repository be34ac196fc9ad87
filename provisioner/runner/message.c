#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

/* Long enough to gather a burst, too short for a person to notice. */
#define FLUSH_AFTER_SECONDS 0.020
#define FLUSH_AT_BYTES (64 * 1024)
#define MAX_WAITING_BYTES (4 * 1024 * 1024)

static struct json output;
static double waiting_since;
static size_t written;	/* of the output */
static bool stuck;	/* the reader is slower than we are */
static bool broken;
static bool closed_to_output;
static bool spoke;

struct json *message_begin(const char *type)
{
	spoke = spoke || !strcmp(type, "printk") || !strcmp(type, "event");
	if (!output.size)
		waiting_since = seconds_now();
	output.comma = false;
	json_open(&output, '{');
	json_put_string(&output, "type", type);
	return &output;
}

void message_end(void)
{
	json_close(&output, '}');
	json_raw(&output, "\n", 1);
	if (output.size >= FLUSH_AT_BYTES && !stuck)
		messages_flush();
}

/* A pipe or socket can be written without waiting; a terminal shares that mode with the shell that started us. */
static bool is_pipe(void)
{
	static int known = -1;
	struct stat status;

	if (known < 0) {
		known = !fstat(STDOUT_FILENO, &status) && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
		if (known)
			fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
	}
	return known;
}

/* Returns false when the reader cannot take more now. */
static bool write_waiting(void)
{
	is_pipe();
	while (written < output.size && !broken) {
		ssize_t n = write(STDOUT_FILENO, output.text + written, output.size - written);

		if (n >= 0)
			written += n;
		else if (errno == EAGAIN)
			return false;
		else if (errno != EINTR)
			broken = true;
	}
	output.size = written = 0;
	return true;
}

/* What has been written is in front of what waits; moved only when that is cheap. */
static void forget_written(void)
{
	if (written < output.size / 2)
		return;
	output.size -= written;
	memmove(output.text, output.text + written, output.size);
	written = 0;
}

void messages_flush(void)
{
	stuck = !write_waiting();
	forget_written();
}

void messages_flush_all(void)
{
	struct pollfd out = { STDOUT_FILENO, POLLOUT, 0 };

	while (!write_waiting())
		poll(&out, 1, -1);
	stuck = false;
}

int messages_due_ms(void)
{
	double left;

	if (!output.size || stuck)
		return -1;
	left = waiting_since + FLUSH_AFTER_SECONDS - seconds_now();
	return left > 0 ? (int)(left * 1000) + 1 : 0;
}

bool messages_stuck(void)
{
	return stuck;
}

bool messages_full(void)
{
	return closed_to_output || (stuck && output.size - written >= MAX_WAITING_BYTES);
}

void messages_close(bool closed)
{
	closed_to_output = closed;
}

bool messages_broken(void)
{
	return broken;
}

bool messages_spoke(void)
{
	return spoke;
}

void message_log(const char *level, const char *format, ...)
{
	struct json *json = message_begin("log");
	char text[2048];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_put_string(json, "level", level);
	json_put_string(json, "text", text);
	message_end();
}

void message_stage(const char *name, bool ok, double seconds)
{
	struct json *json = message_begin("stage");

	json_put_string(json, "name", name);
	json_put_bool(json, "ok", ok);
	json_put_double(json, "seconds", seconds);
	message_end();
}

void message_error(const struct error_report *error)
{
	struct json *json = message_begin("error");

	json_put_string(json, "code", error->code);
	json_put_string(json, "brief", error->brief);
	json_put_string(json, "details", error->details ? error->details : "");
	json_put_string(json, "hint", error->hint ? error->hint : "");
	if (error->program)
		json_put_string(json, "program", error->program);
	if (error->file) {
		json_put_string(json, "file", error->file);
		json_put_unsigned(json, "line", error->line);
	}
	message_end();
}
