#include "attach/uprobes.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "system/binaries.h"
#include "system/elf_file.h"

/* Where a probe goes; empty is not said. For USDT the symbol is the probe's name. */
struct place {
	char path[PATH_MAX];
	char provider[128];
	char symbol[256];
	unsigned long offset;	/* from the symbol; without one, from the start of the file */
};

/* What people put around a function's name to name the program that probes it. */
static const char *const NAME_PREFIXES[] = {
	"", "uprobe__", "uretprobe__", "uprobe_", "uretprobe_", "probe_", "handle_", "trace_", "on_",
};
static const char *const NAME_SUFFIXES[] = {
	"", "_enter", "_exit", "_entry", "_return", "_ret", "_start", "_end", "_uprobe", "_uretprobe",
};

#define NAMES(array) (sizeof(array) / sizeof((array)[0]))

bool is_user_probe(const struct program *program)
{
	return section_under(program->section, "uprobe") || section_under(program->section, "uretprobe") ||
	       section_under(program->section, "usdt");
}

static pid_t probed_process(const struct run *run)
{
	return run->options.pid ? run->options.pid : -1;
}

/* Its target is an alternative that is not there, as with other kinds of programs. */
static int not_found(struct program *program, const char *format, const char *what, const char *where)
{
	program->absent = true;
	program_set(program, PROGRAM_SKIPPED, format, what, where);
	return 0;
}

static void copy_word(char *to, size_t size, const char *from, size_t length)
{
	snprintf(to, size, "%.*s", (int)length, from);
}

/* "FUNCTION", "FUNCTION+OFFSET" or an offset alone. */
static void take_symbol(struct place *place, const char *text)
{
	const char *plus = strrchr(text, '+');

	if (isdigit((unsigned char)*text)) {
		place->offset = strtoul(text, NULL, 0);
		return;
	}
	copy_word(place->symbol, sizeof(place->symbol), text, plus ? (size_t)(plus - text) : strlen(text));
	place->offset = plus ? strtoul(plus + 1, NULL, 0) : 0;
}

/* "PATH:FUNCTION", "FUNCTION" or nothing. */
static struct place uprobe_wish(const char *section)
{
	const char *target = strchr(section, '/');
	const char *colon = target ? strchr(++target, ':') : NULL;
	struct place wish = {};

	if (colon)
		copy_word(wish.path, sizeof(wish.path), target, colon - target);
	if (target)
		take_symbol(&wish, colon ? colon + 1 : target);
	return wish;
}

/* "PROVIDER:NAME" or "NAME". */
static void take_usdt(struct place *place, const char *text)
{
	const char *colon = strrchr(text, ':');

	if (colon)
		copy_word(place->provider, sizeof(place->provider), text, colon - text);
	snprintf(place->symbol, sizeof(place->symbol), "%s", colon ? colon + 1 : text);
}

/* "PATH:PROVIDER:NAME", "PROVIDER:NAME", "NAME" or nothing. */
static struct place usdt_wish(const char *section)
{
	const char *target = strchr(section, '/');
	const char *colon = target ? strchr(++target, ':') : NULL;
	struct place wish = {};

	if (colon && strchr(colon + 1, ':')) {
		copy_word(wish.path, sizeof(wish.path), target, colon - target);
		target = colon + 1;
	}
	if (target)
		take_usdt(&wish, target);
	return wish;
}

/* The file that --bin or the section asks for is put into path, as one that can be opened. */
static bool resolve_file(const struct run *run, const char *asked, char *path)
{
	if (strcmp(asked, "/proc/self/exe"))
		return binary_named(asked, path);
	if (run->options.own_binary)
		snprintf(path, PATH_MAX, "%s", run->options.own_binary);
	return run->options.own_binary;
}

static bool is_pattern(const char *name)
{
	return strpbrk(name, "*?");
}

static bool has_function(const char *path, void *name)
{
	/* Patterns of several functions are left to libbpf, an offset alone to the kernel. */
	return is_pattern(name) || !*(char *)name || elf_find_function(path, name, NULL);
}

static bool has_usdt(const char *path, void *context)
{
	struct place *place = context;

	return elf_has_usdt(path, place->provider, sizeof(place->provider), place->symbol);
}

/* Where the symbol is, of the program's own executable, the usual owners and (if wanted) all libraries. */
static bool find_owner(const struct run *run, struct place *place, bool all_libraries)
{
	const char *own = run->options.own_binary;

	if (is_pattern(place->symbol))
		return false;
	if (own && has_function(own, place->symbol)) {
		snprintf(place->path, sizeof(place->path), "%s", own);
		return true;
	}
	return binary_passing(has_function, place->symbol, all_libraries, place->path);
}

/* "bash_readline": the function readline of bash, or of a library when this bash has it from there. */
static bool find_by_binary_and_symbol(const struct run *run, struct place *place)
{
	char binary[sizeof(place->symbol)];
	struct place found = *place;

	for (const char *cut = strchr(place->symbol, '_'); cut; cut = strchr(cut + 1, '_')) {
		copy_word(binary, sizeof(binary), place->symbol, cut - place->symbol);
		snprintf(found.symbol, sizeof(found.symbol), "%s", cut + 1);
		if (!*binary || !*found.symbol || !binary_named(binary, found.path))
			continue;
		if (elf_find_function(found.path, found.symbol, NULL) || find_owner(run, &found, false)) {
			*place = found;
			return true;
		}
	}
	return false;
}

/* The name between prefix and suffix, if it has both; false too when nothing is left. */
static bool strip(const char *name, const char *prefix, const char *suffix, char *core, size_t size)
{
	size_t length = strlen(name), before = strlen(prefix), behind = strlen(suffix);

	if (length <= before + behind || strncmp(name, prefix, before) || strcmp(name + length - behind, suffix))
		return false;
	copy_word(core, size, name + before, length - before - behind);
	return true;
}

/* "malloc_enter" probes malloc. The file is place->path or, when that is empty, to be found. */
static bool guess_by_name(const struct run *run, const struct program *program, struct place *place)
{
	struct place guess = *place;

	for (size_t i = 0; i < NAMES(NAME_PREFIXES) * NAMES(NAME_SUFFIXES); i++) {
		const char *prefix = NAME_PREFIXES[i / NAMES(NAME_SUFFIXES)];
		const char *suffix = NAME_SUFFIXES[i % NAMES(NAME_SUFFIXES)];

		if (!strip(program->name, prefix, suffix, guess.symbol, sizeof(guess.symbol)))
			continue;
		if (*guess.path ? elf_find_function(guess.path, guess.symbol, NULL) : find_owner(run, &guess, false)) {
			*place = guess;
			message_log("note", "%s: %s is guessed from its name; --bin PATH:SYMBOL says it for sure",
				    program->name, guess.symbol);
			return true;
		}
	}
	return false;
}

/* --bin PATH:SYMBOL; what the section says of the function goes first if the file has it. */
static bool take_bin_option(const struct run *run, struct place *place, bool usdt)
{
	const char *colon = strchr(run->options.bin, ':');
	char asked[PATH_MAX];
	struct place option = {};

	copy_word(asked, sizeof(asked), run->options.bin,
		  colon ? (size_t)(colon - run->options.bin) : strlen(run->options.bin));
	if (!resolve_file(run, asked, place->path)) {
		snprintf(place->path, sizeof(place->path), "%s", asked);
		return false;
	}
	if (!colon || (*place->symbol && (usdt ? has_usdt(place->path, place) : has_function(place->path, place->symbol))))
		return true;
	memcpy(option.path, place->path, sizeof(option.path));
	if (usdt)
		take_usdt(&option, colon + 1);
	else
		take_symbol(&option, colon + 1);
	*place = option;
	return true;
}

/* The file, when one is named. Returns false, with the reason said, when it is not there. */
static bool settle_file(const struct run *run, struct program *program, struct place *place, bool usdt)
{
	char asked[PATH_MAX];
	bool there = true;

	if (run->options.bin) {
		there = take_bin_option(run, place, usdt);
	} else if (*place->path) {
		memcpy(asked, place->path, sizeof(asked));
		there = resolve_file(run, asked, place->path);
	}
	if (there)
		return true;
	if (!strcmp(place->path, "/proc/self/exe"))
		not_found(program, "%s%s", "it probes its own loader, which is not part of this run",
			  "; --bin PATH names another file");
	else
		not_found(program, "there is no executable or library %s%s", place->path,
			  "; --bin PATH names another");
	return false;
}

static bool settle_function(const struct run *run, struct program *program, struct place *place)
{
	bool named = *place->symbol;

	if (*place->path && (named || place->offset) && has_function(place->path, place->symbol))
		return true;
	if (!*place->path && named && (find_owner(run, place, true) || find_by_binary_and_symbol(run, place)))
		return true;
	if (guess_by_name(run, program, place))
		return true;
	if (*place->path && named)
		not_found(program, "%s has no function %s", place->path, place->symbol);
	else if (named)
		not_found(program, "no program or library here has a function %s%s", place->symbol,
			  "; --bin PATH or --bin PATH:SYMBOL says where it is");
	else
		not_found(program, "its section \"%s\" does not say which function to probe%s", program->section,
			  "; --bin PATH:SYMBOL does");
	return false;
}

static bool settle_usdt(const struct run *run, struct program *program, struct place *place)
{
	const char *own = run->options.own_binary;

	if (!*place->symbol) {
		not_found(program, "its section \"%s\" does not say which USDT probe it is for%s", program->section,
			  "; --bin PATH:PROVIDER:NAME does");
		return false;
	}
	if (!*place->path && own && has_usdt(own, place))
		snprintf(place->path, sizeof(place->path), "%s", own);
	if (*place->path ? has_usdt(place->path, place) : binary_passing(has_usdt, place, false, place->path))
		return true;
	if (*place->path && !elf_has_any_usdt(place->path))
		not_found(program, "%s was built without USDT probes, also %s", place->path, place->symbol);
	else if (*place->path)
		not_found(program, "%s has no USDT probe %s", place->path, place->symbol);
	else
		not_found(program, "no program or library here has a USDT probe %s%s", place->symbol,
			  "; --bin PATH says where it is");
	return false;
}

static bool is_multi(const struct program *program)
{
	return strstr(program->section, ".multi") || strstr(program->section, ".session");
}

static struct bpf_link *attach_many(struct run *run, struct program *program, const struct place *place)
{
#if HAVE_LIBBPF(1, 3)
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .retprobe = section_under(program->section, "uretprobe"));

#if HAVE_LIBBPF(1, 6)
	opts.session = strstr(program->section, ".session");
#endif
	return bpf_program__attach_uprobe_multi(program->bpf, probed_process(run), place->path, place->symbol, &opts);
#else
	(void)run, (void)program, (void)place;
	errno = EOPNOTSUPP;
	return NULL;
#endif
}

static struct bpf_link *attach_one(struct run *run, struct program *program, const struct place *place)
{
	bool at_return = section_under(program->section, "uretprobe");
	unsigned long start = 0;

	if (*place->symbol)
		elf_find_function(place->path, place->symbol, &start);
	return bpf_program__attach_uprobe(program->bpf, at_return, probed_process(run), place->path,
					  start + place->offset);
}

static void put_uprobe_target(struct program *program, const struct place *place)
{
	char offset[32] = "";

	if (place->offset)
		snprintf(offset, sizeof(offset), "%s0x%lx", *place->symbol ? "+" : "", place->offset);
	snprintf(program->target, sizeof(program->target), "%s:%s%s", place->path, place->symbol, offset);
}

int attach_uprobe(struct run *run, struct program *program)
{
	struct place place = uprobe_wish(program->section);

	if (!settle_file(run, program, &place, false) || !settle_function(run, program, &place))
		return 0;
	put_uprobe_target(program, &place);
	program->link = is_multi(program) ? attach_many(run, program, &place) : attach_one(run, program, &place);
	return program->link ? 0 : -errno;
}

int attach_usdt(struct run *run, struct program *program)
{
	struct place place = usdt_wish(program->section);

	if (!settle_file(run, program, &place, true) || !settle_usdt(run, program, &place))
		return 0;
	snprintf(program->target, sizeof(program->target), "%s:%s:%s", place.path, place.provider, place.symbol);
	program->link = bpf_program__attach_usdt(program->bpf, probed_process(run), place.path, place.provider,
						 place.symbol, NULL);
	return program->link ? 0 : -errno;
}
