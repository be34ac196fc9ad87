/* Small things that several files need and that know nothing about eBPF. */
#ifndef RUNNER_UTIL_H
#define RUNNER_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

double seconds_now(void); /* monotonic */

/* Both return a negative errno on failure. */
int write_file(const char *path, const char *text);
int write_all(int fd, const void *data, size_t size);

/* Sending and receiving (and connecting) give up soon: a program may have made the other side silent. */
void set_socket_deadline(int fd);

/* Gathers text, for details of an error; holds "" at the start once something asked for it. */
struct text {
	char *data;
	size_t size;
};

void text_append(struct text *text, const char *data, size_t size);
void text_free(struct text *text);

/*
 * A forked child that dies with its parent, whatever kills the parent, and has the signal mask of a fresh process.
 * Returns 0 in the child, its pid in the parent, a negative errno on failure.
 */
pid_t fork_tied(void);

/* The same for a child that works while programs are attached: a link's descriptor in it would keep them attached. */
pid_t fork_worker(void);

#endif
