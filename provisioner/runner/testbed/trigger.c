#include "testbed/trigger.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/cgroups.h"
#include "lines.h"
#include "message.h"
#include "util.h"

#define MAX_TRIGGERS 16

static struct trigger {
	const char *command;
	pid_t pid;
	struct line_reader output;
} triggers[MAX_TRIGGERS];
static size_t trigger_count;

static void become_command(const char *command, int output, int namespace)
{
	setpgid(0, 0); /* so that what it starts can be killed with it */
	if (namespace >= 0 && setns(namespace, CLONE_NEWNET))
		_exit(126);
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	cgroups_join(); /* not before /dev/null is open: its programs may deny that */
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

static int start(struct trigger *trigger, int namespace)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	lines_open(&trigger->output, ends[0]);
	trigger->pid = fork_tied();
	if (trigger->pid == 0)
		become_command(trigger->command, ends[1], namespace);
	if (trigger->pid > 0)
		setpgid(trigger->pid, trigger->pid); /* whoever comes first */
	close(ends[1]);
	return trigger->pid < 0 ? trigger->pid : 0;
}

static void say_trigger_line(const void *command, const char *line, size_t length)
{
	struct json *json = message_begin("trigger");

	json_put_string(json, "command", command);
	json_key(json, "text");
	json_string_n(json, line, length);
	message_end();
}

void triggers_start(const char *const *commands, size_t count, int namespace)
{
	for (size_t i = 0; i < count && i < MAX_TRIGGERS; i++) {
		struct trigger *trigger = &triggers[trigger_count++];
		int error;

		trigger->command = commands[i];
		trigger->output = (struct line_reader){ .fd = -1, .say = say_trigger_line, .context = commands[i] };
		error = start(trigger, namespace);
		if (error)
			message_log("warning", "cannot start the trigger: %s", strerror(-error));
	}
	if (count > MAX_TRIGGERS)
		message_log("warning", "only the first %d triggers were started", MAX_TRIGGERS);
}

size_t triggers_descriptors(int *descriptors, size_t limit)
{
	size_t count = 0;

	for (size_t i = 0; i < trigger_count && count < limit; i++)
		if (triggers[i].output.fd >= 0)
			descriptors[count++] = triggers[i].output.fd;
	return count;
}

void triggers_read(void)
{
	for (size_t i = 0; i < trigger_count; i++)
		lines_read(&triggers[i].output);
}

static void say_end(struct trigger *trigger, int status)
{
	struct json *json = message_begin("trigger");

	json_put_string(json, "command", trigger->command);
	json_put_unsigned(json, "status", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	message_end();
	trigger->pid = 0;
}

bool triggers_take_end(pid_t pid, int status)
{
	for (size_t i = 0; i < trigger_count; i++) {
		if (triggers[i].pid != pid)
			continue;
		lines_read(&triggers[i].output);
		say_end(&triggers[i], status);
		return true;
	}
	return false;
}

void triggers_stop(void)
{
	int status;

	triggers_read();
	for (size_t i = 0; i < trigger_count; i++) {
		struct trigger *trigger = &triggers[i];

		if (trigger->pid > 0 && waitpid(trigger->pid, &status, WNOHANG) > 0)
			triggers_take_end(trigger->pid, status);
		/* A program that denies signals must not make us wait: such a trigger ends with our other children. */
		if (trigger->pid > 0 && !kill(-trigger->pid, SIGKILL))
			waitpid(trigger->pid, NULL, 0);
		lines_close(&trigger->output);
	}
	trigger_count = 0;
}
