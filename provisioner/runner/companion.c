#include "companion.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "attach/cgroups.h"
#include "lines.h"
#include "message.h"
#include "util.h"
#include "watch.h"

/* How long a companion may take to detach and to print its last table after it was asked to end. */
#define GRACE_SECONDS 5.0
#define SLOW_GRACE_SECONDS 20.0 /* of one that had to be awaited: it may be compiling, and has much to detach */
#define WORDS_MILLISECONDS 3000
#define SETTLED_SECONDS 1.0

static struct line_reader outputs[] = { { .fd = -1 }, { .fd = -1 } };
static pid_t companion;
static int exit_status;
static bool asked_to_end;
static __u32 programs_before;

static void say_companion_line(const void *stream, const char *line, size_t length)
{
	struct json *json = message_begin("companion");

	json_put_string(json, "stream", stream);
	json_key(json, "text");
	json_string_n(json, line, length);
	message_end();
}

/* A terminal, because libc holds back what is printed into a pipe, and few programs flush each line. */
static int open_output(struct line_reader *reader, const char *name, int *theirs)
{
	struct termios raw;
	int ours;

	if (openpty(&ours, theirs, NULL, NULL, NULL))
		return -errno;
	tcgetattr(*theirs, &raw);
	cfmakeraw(&raw);
	tcsetattr(*theirs, TCSANOW, &raw);
	reader->say = say_companion_line;
	reader->context = name;
	lines_open(reader, ours);
	return 0;
}

static void become_companion(char *const argv[], int output, int errors)
{
	sigset_t none;

	setpgid(0, 0);
	cgroups_join();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(errors, STDERR_FILENO);
	execv(argv[0], argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* The greatest id of a program that there is now, when it is greater than this one. */
static __u32 newest_program(__u32 id)
{
	while (!bpf_prog_get_next_id(id, &id))
		;
	return id;
}

int companion_start(char *const argv[])
{
	int output, errors;

	if (open_output(&outputs[0], "stdout", &output) || open_output(&outputs[1], "stderr", &errors))
		return -ENOTTY;
	programs_before = newest_program(0);
	companion = fork_tied();
	if (companion == 0)
		become_companion(argv, output, errors);
	close(output);
	close(errors);
	if (companion < 0)
		return companion;
	setpgid(companion, companion); /* whoever comes first */
	return 0;
}

size_t companion_descriptors(int *descriptors, size_t limit)
{
	size_t count = 0;

	for (size_t i = 0; i < 2 && count < limit; i++)
		if (outputs[i].fd >= 0)
			descriptors[count++] = outputs[i].fd;
	return count;
}

void companion_read(void)
{
	lines_read(&outputs[0]);
	lines_read(&outputs[1]);
}

void companion_take_end(pid_t pid, int status)
{
	if (companion <= 0 || pid != companion)
		return;
	exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (asked_to_end && exit_status == 128 + SIGINT)
		exit_status = 0; /* it has no handler, and did what it was asked for */
	companion = 0;
	companion_read();
}

bool companion_ended(void)
{
	return companion <= 0;
}

/* Until it says its first line; one that says nothing gets its triggers nevertheless. */
static void await_words(void)
{
	struct pollfd fds[] = { { outputs[0].fd, POLLIN, 0 }, { outputs[1].fd, POLLIN, 0 } };

	poll(fds, 2, WORDS_MILLISECONDS);
}

/* A front end compiles after its first words, one program after the other. */
static bool await_programs(const struct options *options, int signals)
{
	double begin = seconds_now(), changed = begin;
	__u32 newest = programs_before;

	while (!companion_ended() && seconds_now() - begin < options->patience) {
		__u32 now = newest_program(programs_before);

		if (end_is_asked(options, signals))
			return true;
		if (now > programs_before && now == newest && seconds_now() - changed > SETTLED_SECONDS)
			return false;
		if (now != newest)
			changed = seconds_now();
		newest = now;
		poll(NULL, 0, 100);
		companion_read();
		messages_flush();
	}
	return false;
}

bool companion_await(const struct options *options, int signals)
{
	if (options->patience)
		return await_programs(options, signals);
	await_words();
	return false;
}

void companion_stop(const struct options *options)
{
	double deadline = seconds_now() + (options->patience ? SLOW_GRACE_SECONDS : GRACE_SECONDS);
	int status;

	asked_to_end = true;
	if (companion > 0)
		kill(-companion, SIGINT);
	while (companion > 0 && seconds_now() < deadline) {
		poll(NULL, 0, 20);
		companion_read();
		if (waitpid(companion, &status, WNOHANG) == companion)
			companion_take_end(companion, status);
	}
	if (companion > 0) {
		message_log("warning", "the companion program did not end when asked to; it was killed");
		cgroups_kill(); /* its own programs may deny signals, but not the kernel's */
		kill(-companion, SIGKILL);
		waitpid(companion, NULL, 0);
		exit_status = 128 + SIGKILL;
		companion = 0;
	}
	companion_read();
}

int companion_status(void)
{
	return exit_status;
}
