#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

int write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			size -= n;
		}
	}
	return 0;
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error;

	if (fd < 0)
		return -errno;
	error = write_all(fd, text, strlen(text));
	close(fd);
	return error;
}

void set_socket_deadline(int fd)
{
	struct timeval limit = { .tv_usec = 300000 };

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* of connect too */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

void text_append(struct text *text, const char *data, size_t size)
{
	char *grown = realloc(text->data, text->size + size + 1);

	if (!grown)
		return;
	memcpy(grown + text->size, data, size);
	text->data = grown;
	text->size += size;
	text->data[text->size] = '\0';
}

void text_free(struct text *text)
{
	free(text->data);
	*text = (struct text){};
}

static void become_ordinary(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

pid_t fork_tied(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before the line above */
		_exit(0);
	become_ordinary();
	return 0;
}

pid_t fork_worker(void)
{
	pid_t pid = fork_tied();

	if (pid == 0)
		close_range(STDERR_FILENO + 1, ~0U, 0);
	return pid;
}
