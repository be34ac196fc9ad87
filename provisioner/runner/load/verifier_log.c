#include "load/verifier_log.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "message.h"
#include "util.h"

#define SHOWN_LINES 12

static void save(const struct options *options, const struct program *program)
{
	char path[512];
	struct json *json;
	int error;

	mkdir(options->log_dir, 0700); /* fails when it is there, and then the write tells */
	snprintf(path, sizeof(path), "%s/%s.verifier.log", options->log_dir, program->name);
	error = write_file(path, program->log);
	if (error) {
		message_log("warning", "cannot write %s: %s", path, strerror(-error));
		return;
	}
	json = message_begin("verifier");
	json_put_string(json, "program", program->name);
	json_put_string(json, "path", path);
	message_end();
}

/* Statistics end every log and explain nothing. */
static bool is_statistics(const char *line)
{
	return !strncmp(line, "processed ", 10) || !strncmp(line, "verification time ", 18) ||
	       !strncmp(line, "stack depth ", 12) || !*line;
}

static const char *line_before(const char *text, const char *line)
{
	if (line == text)
		return NULL;
	for (line--; line > text && line[-1] != '\n';)
		line--;
	return line;
}

static char *last_lines(const char *log)
{
	const char *end = log + strlen(log);
	const char *line = end;
	const char *from = end;
	int shown = 0;

	while (shown < SHOWN_LINES && (line = line_before(log, line))) {
		char head[32];

		snprintf(head, sizeof(head), "%.*s", (int)strcspn(line, "\n"), line);
		if (!shown && is_statistics(head)) {
			end = line;
			continue;
		}
		from = line;
		shown++;
	}
	return strndup(from, end > from ? end - from : 0);
}

/* "; x = *p; @ file.c:12" (Linux 6.9 and later) names the source line that the refused instruction came from. */
static bool last_source(const char *log, char *file, size_t size, unsigned int *line)
{
	const char *found = NULL;
	const char *colon = NULL;

	for (const char *at = log; (at = strstr(at, " @ ")); at++)
		if (memchr(at, ':', strcspn(at, "\n")))
			found = at + 3;
	if (found)
		colon = memrchr(found, ':', strcspn(found, "\n"));
	if (!colon || !isdigit((unsigned char)colon[1]))
		return false;
	snprintf(file, size, "%.*s", (int)(colon - found), found);
	*line = strtoul(colon + 1, NULL, 10);
	return true;
}

/* What kernels say of helpers, kernel functions, struct_ops and LSM programs alike. */
static bool wants_license(const char *log)
{
	return strstr(log, "GPL-restricted") || strstr(log, "non-GPL") || strstr(log, "GPL compatible license");
}

static void blame_license(struct error_report *error, char *brief, size_t size)
{
	snprintf(brief, size, "%s uses what the kernel keeps for GPL programs, and its object has no such license",
		 error->program);
	error->code = "missing-license";
	error->hint = "Add char LICENSE[] SEC(\"license\") = \"GPL\"; to the program, or run it with --license GPL.";
}

void verifier_report(const struct options *options, const struct program *program)
{
	struct error_report error = { .code = "verifier-rejected", .program = program->name };
	char *details = last_lines(program->log);
	char brief[300], file[256];

	if (options->log_dir)
		save(options, program);
	snprintf(brief, sizeof(brief), "the verifier refused %s (section %s)", program->name, program->section);
	error.brief = brief;
	error.details = details;
	error.hint = "The last line before the end of the log says what the verifier could not prove safe.";
	if (wants_license(program->log))
		blame_license(&error, brief, sizeof(brief));
	if (last_source(program->log, file, sizeof(file), &error.line))
		error.file = file;
	message_error(&error);
	free(details);
}
