#include "watch.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "companion.h"
#include "message.h"
#include "show/changes.h"
#include "show/events.h"
#include "show/trace.h"
#include "testbed/trigger.h"
#include "util.h"

int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Also what others leave behind, which is ours as their subreaper: as zombies they would use up a cgroup's pids. */
static void reap_children(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!triggers_take_end(pid, status))
			companion_take_end(pid, status);
}

/* Returns true when one of them asks us to end. */
static bool read_signals(int fd)
{
	struct signalfd_siginfo info;
	bool end = false;

	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap_children();
		else
			end = true;
	}
	return end;
}

static bool stdin_ended(void)
{
	char ignored[256];
	ssize_t n = read(STDIN_FILENO, ignored, sizeof(ignored));

	return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

bool end_is_asked(const struct options *options, int signals)
{
	struct pollfd fds[] = { { signals, POLLIN, 0 }, { options->use_stdin ? STDIN_FILENO : -1, POLLIN, 0 } };

	poll(fds, 2, 0);
	return (fds[0].revents && read_signals(signals)) || (fds[1].revents && stdin_ended());
}

bool wait_for_line(void)
{
	char byte = 0;
	ssize_t n;

	do
		n = read(STDIN_FILENO, &byte, 1);
	while ((n > 0 && byte != '\n') || (n < 0 && errno == EINTR));
	return n > 0;
}

static int smaller_wait(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

#define MAX_WAIT_SECONDS 3600

static int wait_ms(double deadline)
{
	double left = deadline - seconds_now();
	int due = smaller_wait(smaller_wait(messages_due_ms(), changes_due_ms()), events_due_ms());

	if (left > MAX_WAIT_SECONDS) /* also INFINITY */
		left = MAX_WAIT_SECONDS;
	return smaller_wait(due, left > 0 ? (int)(left * 1000) + 1 : 0);
}

enum { FD_SIGNALS, FD_STDIN, FD_TRACE, FD_STDOUT, FD_OTHERS, FD_LIMIT = 64 };

static size_t gather(struct pollfd *fds, const struct options *options, int signals)
{
	int others[FD_LIMIT - FD_OTHERS];
	size_t count = events_descriptors(others, FD_LIMIT - FD_OTHERS);

	/* Those that are not read have to wait; programs in the kernel never do. */
	if (!messages_full()) {
		count += triggers_descriptors(others + count, FD_LIMIT - FD_OTHERS - count);
		count += companion_descriptors(others + count, FD_LIMIT - FD_OTHERS - count);
	}
	fds[FD_SIGNALS] = (struct pollfd){ signals, POLLIN, 0 };
	fds[FD_STDIN] = (struct pollfd){ options->use_stdin ? STDIN_FILENO : -1, POLLIN, 0 };
	fds[FD_TRACE] = (struct pollfd){ trace_descriptor(), POLLIN, 0 };
	fds[FD_STDOUT] = (struct pollfd){ messages_stuck() ? STDOUT_FILENO : -1, POLLOUT, 0 };
	for (size_t i = 0; i < count; i++)
		fds[FD_OTHERS + i] = (struct pollfd){ others[i], POLLIN, 0 };
	return FD_OTHERS + count;
}

/* Returns whether there may be more. */
static bool read_programs(void)
{
	bool lines = trace_read();
	bool records = events_consume();

	return lines || records;
}

static void read_programs_until(double deadline)
{
	while (read_programs() && seconds_now() < deadline)
		messages_flush();
}

#define MAX_REST_SECONDS 3
#define MAX_COUNT_SECONDS 10 /* the trace that all share has no end */

/* On a slow processor it may be more than one has the patience for: then it is counted. */
void read_the_rest(void)
{
	double deadline = seconds_now() + MAX_REST_SECONDS;

	read_programs_until(deadline);
	messages_close(true);
	read_programs_until(deadline + MAX_COUNT_SECONDS);
	messages_close(false);
	read_programs(); /* says how many they were */
}

static void read_everything(void)
{
	read_programs();
	if (messages_full())
		return;
	triggers_read();
	companion_read();
}

const char *watch(const struct options *options, int signals)
{
	double deadline = options->seconds ? seconds_now() + options->seconds : INFINITY;
	struct pollfd fds[FD_LIMIT];

	while (seconds_now() < deadline) {
		size_t count = gather(fds, options, signals);
		int ready = poll(fds, count, wait_ms(deadline));

		if (ready > 0 && fds[FD_SIGNALS].revents && read_signals(signals))
			return "signal";
		if (ready > 0 && fds[FD_STDIN].revents && stdin_ended())
			return "stdin";
		if (ready > 0 && fds[FD_STDOUT].revents)
			messages_flush();
		if (ready >= 0)
			read_everything();
		if (options->companion && companion_ended())
			return "finished";
		if (changes_due_ms() == 0)
			changes_say();
		if (messages_due_ms() == 0)
			messages_flush();
		if (messages_broken())
			return "stdin";
	}
	return "time";
}
