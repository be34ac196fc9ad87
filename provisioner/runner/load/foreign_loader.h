/* What the loaders that are not ours share: their place to pin to, their words, and what we take over from them. */
#ifndef RUNNER_FOREIGN_LOADER_H
#define RUNNER_FOREIGN_LOADER_H

#include <net/if.h>

#include "run.h"
#include "util.h"

#define BPFFS "/sys/fs/bpf"
#define PINS BPFFS "/programs"
#define MAP_PINS BPFFS "/maps"

struct foreign_loader {
	const char *name;
	int (*load)(struct run *run, int signals); /* an exit status; a failure has been reported */
	void (*unload)(struct run *run);	   /* takes its program off the device */
};

extern const struct foreign_loader bpftool_loader, xdp_loader;

void foreign_device(const struct run *run, char name[IF_NAMESIZE]);
/* One that a device takes by itself, and that is not left out. */
bool foreign_is_xdp(const struct program *program);
/* Its last line, without "Error: " before it. */
const char *foreign_last_words(const struct text *words, char *line, size_t size);
/* For a status of tool_run() other than 0; what the verifier said is looked for in the words. */
int foreign_report(struct run *run, int status, const struct text *words);
/* What it says when all is well: notes of what it did not do. */
void foreign_pass_on(const struct text *words);
/* The loaded program and its maps are known by our own copies of them from now on. */
void foreign_take_over(struct run *run, struct program *program, int fd);
/* With its pins gone, what only they kept attached is not any more. */
void foreign_unpin(void);
/* From now on it is for the loader to take the program off the device. */
void foreign_is_on_device(void);

#endif
