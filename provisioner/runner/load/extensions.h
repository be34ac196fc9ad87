/*
 * Programs whose target is another BPF program: freplace, and fentry and fexit on one. They can be loaded only when
 * the target is, so they are left out at first and loaded from a second copy of the object, which shares the maps of
 * the first. The target is the program named by --attach-to, or the one of the same object that has the function.
 */
#ifndef RUNNER_EXTENSIONS_H
#define RUNNER_EXTENSIONS_H

#include "run.h"

/* Of the opened object: marks them, and keeps libbpf from loading them. */
void extensions_defer(struct run *run);
/* Once the object is loaded. Returns 0 or a negative errno; programs without a target are skipped with the reason. */
int extensions_load(struct run *run);

#endif
