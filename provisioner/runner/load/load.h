/* From an object file to programs in the kernel. */
#ifndef RUNNER_LOAD_H
#define RUNNER_LOAD_H

#include "run.h"

/* Fills run->object and run->programs. Returns an exit status; a failure has been reported. */
int load_object(struct run *run);
int open_for_foreign(struct run *run); /* the same for a loader that is not ours: nothing is loaded */
void unload_object(struct run *run);
struct bpf_object *open_image(void);	/* one more copy of the object, not loaded; NULL with errno set */

#endif
