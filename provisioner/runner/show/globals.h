/* The global variables of one section: .bss, .data, .rodata and their like. */
#ifndef RUNNER_GLOBALS_H
#define RUNNER_GLOBALS_H

#include "run.h"
#include "show/btf_json.h"

struct globals {
	const char *section;
	const struct btf_type *variables;
	struct btf_bytes bytes;
	int fd;
};

/* False when the map is no such section, or holds nothing but constants of the compiler and anchors of types. */
bool globals_open(struct globals *globals, struct bpf_map *map, const struct btf *btf);
void globals_close(struct globals *globals);
bool globals_read(struct globals *globals); /* what they are now */

/* The variable at this place of the section, NULL when it is none to show. */
const struct btf_var_secinfo *globals_variable(const struct globals *globals, int index);
void globals_put(struct json *json, const struct globals *globals, const struct btf_var_secinfo *variable);

#endif
