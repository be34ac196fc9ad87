/* What a person sets before the run: global variables (--set) and map entries (--map). */
#ifndef RUNNER_PARAMS_H
#define RUNNER_PARAMS_H

#include "run.h"

/* A global variable of an opened object; before the load, data is its initial value and may be written. */
struct variable {
	const char *section;	/* ".bss", ".rodata.mine" */
	const char *name;
	const struct btf *btf;
	__u32 type_id;
	unsigned char *data;
	size_t size;
};

/* Calls visit for every variable of the program's own until it returns true. */
void variables_visit(const struct bpf_object *object, bool (*visit)(const struct variable *, void *), void *context);

/* Both return an exit status; a failure has been reported. */
int params_set_variables(const struct run *run);	/* between open and load */
int params_fill_maps(const struct run *run);		/* between load and attach */

#endif
