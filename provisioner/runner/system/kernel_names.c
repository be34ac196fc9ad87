#include "system/kernel_names.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

/* What stands before the name of a system call's function on this architecture. */
#if defined(__x86_64__)
#define SYSCALL_PREFIX "__x64_"
#elif defined(__aarch64__)
#define SYSCALL_PREFIX "__arm64_"
#elif defined(__riscv)
#define SYSCALL_PREFIX "__riscv_"
#elif defined(__s390x__)
#define SYSCALL_PREFIX "__s390x_"
#else
#define SYSCALL_PREFIX ""
#endif

/* Characters that the two share at their begin and at their end. */
static size_t shared_ends(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t shorter = a_length < b_length ? a_length : b_length;
	size_t begin = 0, end = 0;

	while (begin < shorter && a[begin] == b[begin])
		begin++;
	while (end < shorter - begin && a[a_length - 1 - end] == b[b_length - 1 - end])
		end++;
	return begin + end;
}

#define NEAR_PERCENT 65

/* In percent of the longer name; a kernel renames by putting something before, behind or in the middle. */
static size_t likeness(const char *a, const char *b)
{
	size_t a_length = strlen(a), b_length = strlen(b);
	size_t longer = a_length > b_length ? a_length : b_length;
	size_t shorter = a_length + b_length - longer;

	if (shorter * 100 < NEAR_PERCENT * longer) /* most are out by their length alone */
		return 0;
	return longer ? shared_ends(a, a_length, b, b_length) * 100 / longer : 0;
}

void near_names_consider(struct near_names *near, const char *name)
{
	struct near_name candidate = { .score = likeness(near->wanted, name) };

	if (!strcmp(near->wanted, name))
		near->exact = true;
	if (near->exact || candidate.score < NEAR_PERCENT || strlen(name) >= sizeof(candidate.name))
		return;
	strcpy(candidate.name, name);
	for (size_t i = 0; i < NEAR_NAMES; i++) {
		struct near_name other = near->best[i];

		if (!strcmp(other.name, candidate.name))
			return;
		if (candidate.score > other.score) {
			near->best[i] = candidate;
			candidate = other;
		}
	}
}

const char *near_names_text(const struct near_names *near, char *text, size_t size)
{
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < NEAR_NAMES && !near->exact && *near->best[i].name && used < size; i++)
		used += snprintf(text + used, size - used, "%s%s", i ? " or " : ": did you mean ", near->best[i].name);
	if (used && used < size)
		snprintf(text + used, size - used, "?");
	return text;
}

bool system_call_function(const char *name, char *function, size_t size)
{
	const char *call = strstr(name, "sys_");
	bool bare = call == name;

	if (!call || (!bare && (strncmp(name, "__", 2) || call[-1] != '_')))
		return false;
	snprintf(function, size, "%s%s", SYSCALL_PREFIX, call);
	return true;
}

/* Not ".cold" and ".part.0", which are pieces of a function. */
static bool is_copy_suffix(const char *suffix)
{
	static const char *const SUFFIXES[] = { ".isra.", ".constprop.", ".llvm." };

	for (size_t i = 0; i < sizeof(SUFFIXES) / sizeof(SUFFIXES[0]); i++)
		if (!strncmp(suffix, SUFFIXES[i], strlen(SUFFIXES[i])))
			return !strstr(suffix, ".cold") && !strstr(suffix, ".part.");
	return false;
}

/* Names of functions, one behind the other; read once, because the kernel takes long to list them. */
static struct text functions;

static bool is_function(const char *type)
{
	return *type && strchr("tTwW", *type);
}

/* "ffffffff81000000 T name\t[module]" */
static void keep_function(char *line)
{
	char *type = strchr(line, ' ');
	char *name = type && is_function(type + 1) ? strchr(type + 1, ' ') : NULL;

	if (!name)
		return;
	name++;
	name[strcspn(name, "\t\n")] = '\0';
	text_append(&functions, name, strlen(name) + 1);
}

static void read_functions(void)
{
	FILE *symbols = functions.size ? NULL : fopen("/proc/kallsyms", "re");
	char line[1024];

	while (symbols && fgets(line, sizeof(line), symbols))
		keep_function(line);
	if (symbols)
		fclose(symbols);
}

bool find_function_copy(const char *name, char *found, size_t size, struct near_names *near)
{
	size_t length = strlen(name);

	read_functions();
	for (size_t at = 0; at < functions.size; at += strlen(functions.data + at) + 1) {
		const char *symbol = functions.data + at;

		if (!strncmp(symbol, name, length) && is_copy_suffix(symbol + length)) {
			snprintf(found, size, "%s", symbol);
			return true;
		}
		near_names_consider(near, symbol);
	}
	return false;
}

static const char *events_directory(void)
{
	static const char *const DIRECTORIES[] = { "/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events" };

	return access(DIRECTORIES[0], R_OK) ? DIRECTORIES[1] : DIRECTORIES[0];
}

static bool is_entry(const struct dirent *entry)
{
	return entry->d_type == DT_DIR && entry->d_name[0] != '.';
}

static bool find_in_group(const char *group, const char *name, struct near_names *near)
{
	char path[512];
	struct dirent *entry;
	DIR *directory;
	bool found = false;

	snprintf(path, sizeof(path), "%s/%s", events_directory(), group);
	directory = opendir(path);
	while (directory && !found && (entry = readdir(directory))) {
		if (!is_entry(entry))
			continue;
		near_names_consider(near, entry->d_name);
		found = !strcmp(entry->d_name, name);
	}
	if (directory)
		closedir(directory);
	return found;
}

bool find_tracepoint_group(const char *name, char *group, size_t size, struct near_names *near)
{
	DIR *directory = opendir(events_directory());
	struct dirent *entry;
	bool found = false;

	while (directory && !found && (entry = readdir(directory))) {
		found = is_entry(entry) && find_in_group(entry->d_name, name, near);
		if (found)
			snprintf(group, size, "%s", entry->d_name);
	}
	if (directory)
		closedir(directory);
	return found;
}
