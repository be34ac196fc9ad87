/* Where executables and shared libraries are in this system; of paths, PATH_MAX bytes are filled in. */
#ifndef RUNNER_BINARIES_H
#define RUNNER_BINARIES_H

#include <stdbool.h>

/* A path as it is, or the name of a program or library: "bash", "libc.so.6", "libssl", "ssl". */
bool binary_named(const char *name, char *path);

/* The first to pass a test: of those that people probe most, then (if wanted) of all shared libraries. */
typedef bool (*binary_test)(const char *path, void *context);
bool binary_passing(binary_test test, void *context, bool all_libraries, char *path);

#endif
