#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "watch.h"

#define LOOK_EVERY_MILLISECONDS 100

static void become_tool(char *const argv[], int output)
{
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execvp(argv[0], argv);
	_exit(127);
}

/* Returns false when it was asked to end before the output did. */
static bool read_words(const struct options *options, int signals, int fd, struct text *words)
{
	struct pollfd poller = { fd, POLLIN, 0 };
	char chunk[16384];
	ssize_t n = 1;

	while (n > 0) {
		if (options && end_is_asked(options, signals))
			return false;
		if (poll(&poller, 1, LOOK_EVERY_MILLISECONDS) <= 0)
			continue;
		n = read(fd, chunk, sizeof(chunk));
		if (n > 0)
			text_append(words, chunk, n);
	}
	return true;
}

int tool_run(const struct options *options, int signals, char *const argv[], struct text *words)
{
	int ends[2], status = 0;
	bool ended;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork_tied();
	if (pid == 0)
		become_tool(argv, ends[1]);
	close(ends[1]);
	ended = pid < 0 || read_words(options, signals, ends[0], words);
	close(ends[0]);
	if (pid < 0)
		return pid;
	if (!ended)
		kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	if (!ended)
		return -EINTR;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
