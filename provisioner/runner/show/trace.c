#include "show/trace.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"
#include "util.h"

#define TRACEFS "/sys/kernel/tracing"
#define INSTANCES TRACEFS "/instances"
#define INSTANCE_PREFIX "ebpf-dev-"
#define EVENT "bpf_trace_printk: "
#define READS_AT_ONCE 64 /* then the main loop has a look at its signals and its clock */

static char instance[128]; /* "" when we read the global pipe */
static int pipe_fd = -1;

/* A line may arrive in two reads. */
static char pending[64 * 1024];
static size_t pending_size;

static void mount_tracefs(void)
{
	if (access(TRACEFS "/trace_pipe", F_OK) && mount("tracefs", TRACEFS, "tracefs", 0, NULL))
		message_log("warning", "cannot mount tracefs on " TRACEFS ": %s", strerror(errno));
}

static bool is_stale(const char *name)
{
	pid_t pid = atoi(name + strlen(INSTANCE_PREFIX));

	return pid > 0 && kill(pid, 0) && errno == ESRCH;
}

/* Runs that were killed could not remove theirs. */
static void sweep_stale_instances(void)
{
	DIR *directory = opendir(INSTANCES);
	struct dirent *entry;
	char path[sizeof(INSTANCES) + 257];

	while (directory && (entry = readdir(directory))) {
		if (strncmp(entry->d_name, INSTANCE_PREFIX, strlen(INSTANCE_PREFIX)) || !is_stale(entry->d_name))
			continue;
		snprintf(path, sizeof(path), INSTANCES "/%s", entry->d_name);
		rmdir(path);
	}
	if (directory)
		closedir(directory);
}

static int open_instance_pipe(void)
{
	char path[sizeof(instance) + 64];
	int error;

	snprintf(instance, sizeof(instance), INSTANCES "/" INSTANCE_PREFIX "%d", (int)getpid());
	if (mkdir(instance, 0700))
		return -errno;
	snprintf(path, sizeof(path), "%s/events/bpf_trace/bpf_trace_printk/enable", instance);
	error = write_file(path, "1");
	if (error)
		return error;
	snprintf(path, sizeof(path), "%s/trace_pipe", instance);
	pipe_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return pipe_fd < 0 ? -errno : 0;
}

static void open_global_pipe(void)
{
	pipe_fd = open(TRACEFS "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (pipe_fd < 0)
		message_log("warning", "cannot read the trace, bpf_printk will not be seen: %s", strerror(errno));
}

static void remove_instance(void)
{
	if (*instance)
		rmdir(instance);
	*instance = '\0';
}

void trace_open(void)
{
	int error;

	mount_tracefs();
	sweep_stale_instances();
	error = open_instance_pipe();
	if (!error)
		return;
	remove_instance();
	message_log("note", "no private trace instance (%s); reading the global trace_pipe", strerror(-error));
	open_global_pipe();
}

int trace_descriptor(void)
{
	return pipe_fd;
}

/* The trace forgets names of processes, for example those that have ended before it was read. */
static void fill_in_comm(char *comm, size_t size, long pid)
{
	char path[64];
	FILE *file;

	if (strcmp(comm, "<...>"))
		return;
	*comm = '\0';
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(comm, size, file))
		comm[strcspn(comm, "\n")] = '\0';
	fclose(file);
}

struct header {
	char comm[64];
	long pid;
	long cpu;
	double time;
};

/* "          comm-pid     [cpu] flags time: bpf_trace_printk: "; a comm may hold blanks, dashes and brackets. */
static bool parse_header(const char *line, size_t length, struct header *header)
{
	const char *bracket = memrchr(line, '[', length);
	const char *dash = bracket ? memrchr(line, '-', bracket - line) : NULL;
	const char *time = line + length;

	if (!dash || !isdigit((unsigned char)dash[1]))
		return false;
	while (isspace((unsigned char)*line))
		line++;
	snprintf(header->comm, sizeof(header->comm), "%.*s", (int)(dash - line), line);
	header->pid = strtol(dash + 1, NULL, 10);
	header->cpu = strtol(bracket + 1, NULL, 10);
	while (time > bracket && (time[-1] == ' ' || time[-1] == ':'))
		time--;
	while (time > bracket && time[-1] != ' ')
		time--;
	header->time = strtod(time, NULL);
	return true;
}

static void put_header(struct json *json, struct header *header)
{
	fill_in_comm(header->comm, sizeof(header->comm), header->pid);
	json_put_string(json, "comm", *header->comm ? header->comm : NULL);
	json_put_unsigned(json, "pid", header->pid);
	json_put_unsigned(json, "cpu", header->cpu);
	json_put_double(json, "time", header->time);
}

static size_t unread; /* lines that were counted only (messages_full) */

static void say_printk(const char *text, size_t length, struct header *header)
{
	struct json *json;

	if (messages_full()) {
		unread++;
		return;
	}
	json = message_begin("printk");
	if (header)
		put_header(json, header);
	json_key(json, "text");
	json_string_n(json, text, length);
	message_end();
}

static void say_lost_lines(unsigned long count)
{
	struct json *json = message_begin("lost");

	json_put_string(json, "source", "printk");
	json_put_unsigned(json, "count", count);
	message_end();
}

static void say_unread(void)
{
	if (!unread || messages_full())
		return;
	say_lost_lines(unread);
	unread = 0;
}

static void say_unknown_loss(void)
{
	static bool is_told;

	if (!is_told)
		message_log("warning", "the kernel dropped lines of bpf_printk and does not say how many");
	is_told = true;
}

/* "CPU:1 [LOST 42 EVENTS]", or without the number when the kernel has lost count too. */
static bool read_loss(const char *line)
{
	unsigned long count;

	if (sscanf(line, "CPU:%*d [LOST %lu EVENTS]", &count) == 1)
		say_lost_lines(count);
	else if (strncmp(line, "CPU:", 4) || !strstr(line, "[LOST EVENTS]"))
		return false;
	else
		say_unknown_loss();
	return true;
}

static void read_line(const char *line, size_t length)
{
	const char *event = strstr(line, EVENT);
	struct header header;

	if (!length)
		return; /* the format string ended in a line feed of its own */
	if (event && parse_header(line, event - line, &header))
		say_printk(event + strlen(EVENT), line + length - event - strlen(EVENT), &header);
	else if (!read_loss(line) && *instance)
		/* A later line of a text of several; the global pipe has lines of other tracers instead. */
		say_printk(line, length, NULL);
}

static void read_lines(void)
{
	char *line = pending;
	char *end;

	while ((end = memchr(line, '\n', pending + pending_size - line))) {
		*end = '\0';
		read_line(line, end - line);
		line = end + 1;
	}
	pending_size -= line - pending;
	memmove(pending, line, pending_size);
	if (pending_size == sizeof(pending))
		pending_size = 0; /* no line is that long */
}

bool trace_read(void)
{
	say_unread();
	for (int i = 0; i < READS_AT_ONCE && pipe_fd >= 0; i++) {
		ssize_t n = read(pipe_fd, pending + pending_size, sizeof(pending) - pending_size);

		if (n <= 0)
			return false;
		pending_size += n;
		read_lines();
	}
	return pipe_fd >= 0;
}

void trace_close(void)
{
	trace_read();
	if (pipe_fd >= 0)
		close(pipe_fd);
	pipe_fd = -1;
	remove_instance();
}
