/* Names that the running kernel has, and which of them a misspelt or outdated one may mean. */
#ifndef RUNNER_KERNEL_NAMES_H
#define RUNNER_KERNEL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define NEAR_NAMES 3

/* The names nearest to the wanted one among those considered so far, best first. */
struct near_names {
	const char *wanted;
	bool exact; /* the wanted name itself was among them */
	struct near_name {
		char name[128];
		size_t score;
	} best[NEAR_NAMES];
};

void near_names_consider(struct near_names *near, const char *name);
/* ": did you mean a or b?", or "" */
const char *near_names_text(const struct near_names *near, char *text, size_t size);

/*
 * The function of a system call as it is called on this architecture, for "sys_execve" or another architecture's
 * "__x64_sys_execve". False when the name is none of a system call's function.
 */
bool system_call_function(const char *name, char *function, size_t size);

/*
 * Looks a function up that the kernel does not have by that name: under the name that the compiler gave a changed copy
 * of it ("name.isra.0"), which is stored in found; the names met go to near. False when there is none.
 */
bool find_function_copy(const char *name, char *found, size_t size, struct near_names *near);

/* The group of a tracepoint known by its name alone; the names met go to near. */
bool find_tracepoint_group(const char *name, char *group, size_t size, struct near_names *near);

#endif
