#include "system/binaries.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "system/elf_file.h"

/*
 * Who owns the functions and USDT probes that programs name, the likelier first. Those with a ".so" are looked for
 * where libraries are, those with a "/" as they are, the others where programs are.
 */
static const char *const OWNERS[] = {
	"libc.so.6",
	"libpthread.so.0",
	"libssl.so.*",
	"libcrypto.so.*",
	"libgnutls.so.*",
	"libnspr4.so",
	"libnss3.so",
	"bash",
	"libreadline.so.*",
	"libpam.so.*",
	"libstdc++.so.6",
	"libm.so.6",
	"libz.so.1",
	"python3",
	"libpython3*.so.1*",
	"node",
	"perl",
	"ruby",
	"php",
	"sshd",
	"nginx",
	"mysqld",
	"mariadbd",
	"/usr/lib/postgresql/*/bin/postgres",
	"/usr/lib/jvm/*/lib/server/libjvm.so",
	"/usr/local/cuda*/lib64/libcudart.so*",
};

/* %s is the architecture, as in Debian's multiarch names. */
static const char *const LIBRARY_DIRECTORIES[] = {
	"/usr/lib/%s-linux-gnu", "/lib/%s-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/lib", "/usr/local/lib",
};
static const char *const PROGRAM_DIRECTORIES[] = {
	"/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/bin", "/usr/sbin", "/sbin",
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static bool glob_passing(const char *pattern, binary_test test, void *context, char *path)
{
	glob_t found = {};
	bool passed = false;

	if (!glob(pattern, 0, NULL, &found))
		for (size_t i = 0; i < found.gl_pathc && !passed; i++) {
			passed = test(found.gl_pathv[i], context);
			if (passed)
				snprintf(path, PATH_MAX, "%s", found.gl_pathv[i]);
		}
	globfree(&found);
	return passed;
}

/* Looks into each directory once, where /lib is only another name of /usr/lib. */
static bool is_alias(const char *directory)
{
	char real[PATH_MAX];

	return !realpath(directory, real) || strcmp(real, directory) != 0;
}

static bool in_directories(const char *const *directories, size_t count, const char *pattern, binary_test test,
			   void *context, char *path)
{
	struct utsname system;
	char directory[256];
	char full[PATH_MAX];

	uname(&system);
	for (size_t i = 0; i < count; i++) {
		snprintf(directory, sizeof(directory), directories[i], system.machine);
		if (is_alias(directory))
			continue;
		snprintf(full, sizeof(full), "%s/%s", directory, pattern);
		if (glob_passing(full, test, context, path))
			return true;
	}
	return false;
}

static bool library_passing(const char *pattern, binary_test test, void *context, char *path)
{
	return in_directories(LIBRARY_DIRECTORIES, LENGTH(LIBRARY_DIRECTORIES), pattern, test, context, path);
}

static bool owner_passing(const char *pattern, binary_test test, void *context, char *path)
{
	if (strchr(pattern, '/'))
		return glob_passing(pattern, test, context, path);
	if (strstr(pattern, ".so"))
		return library_passing(pattern, test, context, path);
	return in_directories(PROGRAM_DIRECTORIES, LENGTH(PROGRAM_DIRECTORIES), pattern, test, context, path);
}

static bool is_binary(const char *path, void *context)
{
	(void)context;
	return elf_is_elf(path);
}

bool binary_named(const char *name, char *path)
{
	static const char *const forms[] = { "%s", "%s.so*", "lib%s.so*" };
	char pattern[PATH_MAX];

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return elf_is_elf(path);
	}
	for (size_t i = 0; i < LENGTH(forms); i++) {
		snprintf(pattern, sizeof(pattern), forms[i], name);
		if (owner_passing(pattern, is_binary, NULL, path))
			return true;
	}
	return false;
}

bool binary_passing(binary_test test, void *context, bool all_libraries, char *path)
{
	for (size_t i = 0; i < LENGTH(OWNERS); i++)
		if (owner_passing(OWNERS[i], test, context, path))
			return true;
	return all_libraries && library_passing("lib*.so.*", test, context, path);
}
