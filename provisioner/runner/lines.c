#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void lines_open(struct line_reader *reader, int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	reader->fd = fd;
	reader->size = 0;
}

/* A line longer than the buffer is said in pieces; "all" also says one that has no end yet. */
static void say_waiting(struct line_reader *reader, bool all)
{
	char *line = reader->waiting;
	char *end;

	while ((end = memchr(line, '\n', reader->waiting + reader->size - line))) {
		reader->say(reader->context, line, end - line);
		line = end + 1;
	}
	reader->size -= line - reader->waiting;
	memmove(reader->waiting, line, reader->size);
	if (reader->size && (all || reader->size == sizeof(reader->waiting))) {
		reader->say(reader->context, reader->waiting, reader->size);
		reader->size = 0;
	}
}

void lines_close(struct line_reader *reader)
{
	if (reader->fd < 0)
		return;
	say_waiting(reader, true);
	close(reader->fd);
	reader->fd = -1;
}

void lines_read(struct line_reader *reader)
{
	/* Bounded, so that a flood cannot keep the main loop from anything else. */
	for (int i = 0; i < 64 && reader->fd >= 0; i++) {
		ssize_t n = read(reader->fd, reader->waiting + reader->size, sizeof(reader->waiting) - reader->size);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) { /* a terminal whose other side is closed reads as EIO */
			lines_close(reader);
			return;
		}
		reader->size += n;
		say_waiting(reader, false);
	}
}
