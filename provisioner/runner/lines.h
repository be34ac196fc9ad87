/* The output of a program that we started, cut into lines as it comes. */
#ifndef RUNNER_LINES_H
#define RUNNER_LINES_H

#include <stdbool.h>
#include <stddef.h>

struct line_reader {
	int fd; /* non-blocking; -1 when the output has ended */
	void (*say)(const void *context, const char *line, size_t length);
	const void *context;
	char waiting[8192];
	size_t size;
};

void lines_open(struct line_reader *reader, int fd);
void lines_read(struct line_reader *reader); /* what is there now; closes at its end */
void lines_close(struct line_reader *reader);

#endif
