// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * execsnoop - load execsnoop.bpf.c and print every program that is started.
 *
 * Usage: execsnoop [-u UID]
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "execsnoop.h"
#include "execsnoop.skel.h" /* made by bpftool from the compiled object */

#define POLL_MS 200 /* how late a SIGINT may be noticed when nothing happens */

static volatile sig_atomic_t stopping;

static void on_signal(int signal)
{
	(void)signal;
	stopping = 1;
}

/* The arguments arrive as "ls\0-l\0": print the NULs as blanks. */
static void print_args(const struct event *event)
{
	for (unsigned int i = 0; i < event->args_len; i++) {
		if (event->args[i])
			putchar(event->args[i]);
		else if (i + 1 < event->args_len)
			putchar(' ');
	}
}

/* Called by libbpf for each record; data lies in the memory that the kernel wrote. */
static int on_event(void *context, void *data, size_t size)
{
	const struct event *event = data;

	(void)context;
	if (size < sizeof(*event))
		return 0;
	printf("%-7u %-7u %-6u %-16s %s  ", event->pid, event->ppid, event->uid, event->comm, event->file);
	print_args(event);
	putchar('\n');
	return 0;
}

/* Pass on events until a signal comes; 0 or a negative errno. */
static int print_events(struct execsnoop_bpf *skel)
{
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(skel->maps.events), on_event, NULL, NULL);
	int err = 0;

	if (!ring)
		return -errno;
	while (!stopping && err >= 0) {
		err = ring_buffer__poll(ring, POLL_MS);
		if (err == -EINTR)
			err = 0;
	}
	ring_buffer__free(ring);
	return err < 0 ? err : 0;
}

/* Open, set what may only be set before loading, load, attach, print. */
static int run(int uid)
{
	struct execsnoop_bpf *skel = execsnoop_bpf__open();
	int err;

	if (!skel)
		return -errno;
	if (uid >= 0)
		skel->rodata->only_uid = uid;

	err = execsnoop_bpf__load(skel);
	if (!err)
		err = execsnoop_bpf__attach(skel);
	if (!err) {
		printf("%-7s %-7s %-6s %-16s %s\n", "PID", "PPID", "UID", "COMM", "FILE  ARGS");
		err = print_events(skel);
		if (skel->bss->lost)
			fprintf(stderr, "%llu events lost\n", skel->bss->lost);
	}
	execsnoop_bpf__destroy(skel); /* detaches too */
	return err;
}

int main(int argc, char **argv)
{
	/* No SA_RESTART: a signal is to wake the poll up. */
	struct sigaction action = { .sa_handler = on_signal };
	int option, err, uid = -1;

	while ((option = getopt(argc, argv, "u:")) != -1) {
		if (option != 'u') {
			fprintf(stderr, "usage: %s [-u UID]\n", argv[0]);
			return 2;
		}
		uid = atoi(optarg);
	}

	setvbuf(stdout, NULL, _IOLBF, 0); /* each line at once, also into a pipe */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);

	err = run(uid);
	if (err)
		fprintf(stderr, "execsnoop: %s\n", strerror(-err));
	return err ? 1 : 0;
}
