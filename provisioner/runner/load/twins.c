#include "load/twins.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "load/libbpf_log.h"

/* Ways in to a hook, and which is preferred: the lower rank. */
static const struct way {
	const char *section;
	char kind; /* of hook: at a function's begin or return, or a tracepoint */
	int rank;
} WAYS[] = {
	{ "fentry", 'b', 0 },	       { "kprobe.multi", 'b', 2 },    { "kprobe.session", 'b', 2 },
	{ "kprobe", 'b', 1 },	       { "fexit", 'r', 0 },	      { "kretprobe.multi", 'r', 2 },
	{ "kretprobe", 'r', 1 },       { "tp_btf", 't', 0 },	      { "raw_tp", 't', 1 },
	{ "raw_tracepoint", 't', 1 },  { "tp", 't', 2 },	      { "tracepoint", 't', 2 },
};

static const struct way *find_way(const struct program *program)
{
	for (size_t i = 0; i < sizeof(WAYS) / sizeof(WAYS[0]); i++)
		if (section_under(program->section, WAYS[i].section) && strchr(program->section, '/'))
			return &WAYS[i];
	return NULL;
}

static bool same_target(const struct program *a, const struct program *b)
{
	return !strcmp(strrchr(a->section, '/'), strrchr(b->section, '/'));
}

static bool same_hook(const struct program *a, const struct program *b)
{
	const struct way *way = find_way(a), *other = find_way(b);

	return way && other && way->kind == other->kind && way->rank != other->rank &&
	       same_target(a, b);
}

static bool is_pending(const struct program *program)
{
	return program->state == PROGRAM_PENDING;
}

#define MAX_USES 512

/* The maps, variables and functions that a program's code refers to, each once. */
struct uses {
	__u64 of[MAX_USES];
	size_t count;
};

static bool has_use(const struct uses *uses, __u64 use)
{
	for (size_t i = 0; i < uses->count; i++)
		if (uses->of[i] == use)
			return true;
	return false;
}

static void add_use(struct uses *uses, __u64 use)
{
	if (!has_use(uses, use) && uses->count < MAX_USES)
		uses->of[uses->count++] = use;
}

/* A place: which section, and where in it; the instruction holds an offset from the symbol. */
static void add_place(struct uses *uses, const Elf64_Sym *symbol, const struct bpf_insn *insn)
{
	if (symbol->st_shndx != SHN_UNDEF) /* of the kernel */
		add_use(uses, (__u64)symbol->st_shndx << 48 | ((symbol->st_value + insn->imm) & 0xffffffffffff));
}

static void collect_from(struct uses *uses, const struct elf_image *image, const Elf64_Shdr *relocations,
			 const Elf64_Sym *function)
{
	const Elf64_Shdr *code_section = elf_section(image, function->st_shndx);
	const unsigned char *code = code_section ? elf_section_data(image, code_section) : NULL;
	const Elf64_Rel *at = elf_section_data(image, relocations);
	struct elf_symbols symbols = elf_symbols(image);

	for (size_t i = 0; at && code && i < relocations->sh_size / sizeof(*at); i++) {
		struct bpf_insn insn;

		if (at[i].r_offset < function->st_value || at[i].r_offset >= function->st_value + function->st_size ||
		    at[i].r_offset > code_section->sh_size - sizeof(insn) ||
		    ELF64_R_SYM(at[i].r_info) >= symbols.count)
			continue;
		memcpy(&insn, code + at[i].r_offset, sizeof(insn));
		add_place(uses, &symbols.at[ELF64_R_SYM(at[i].r_info)], &insn);
	}
}

/* Adds to what is there already. */
static void collect_uses(struct uses *uses, const struct elf_image *image, const char *program)
{
	struct elf_symbols symbols = elf_symbols(image);
	const Elf64_Sym *function = elf_find_symbol(&symbols, program, STT_FUNC);

	for (size_t i = 1; function && i < elf_section_count(image); i++) {
		const Elf64_Shdr *section = elf_section(image, i);

		if (section->sh_type == SHT_REL && section->sh_info == function->st_shndx &&
		    section->sh_offset % sizeof(__u64) == 0)
			collect_from(uses, image, section, function);
	}
}

static struct uses uses_of(const struct elf_image *image, const struct program *program)
{
	struct uses uses = {};

	collect_uses(&uses, image, program->name);
	return uses;
}

/*
 * A kprobe that remembers something for a kretprobe on the same function, in a map that the better program does
 * without: the two are one alternative.
 */
static bool feeds(const struct elf_image *image, const struct program *feeder, const struct program *program,
		  const struct uses *better)
{
	const struct way *way = find_way(feeder), *other = find_way(program);
	struct uses own, of_program;

	if (!way || way->kind != 'b' || other->kind != 'r' || way->rank != other->rank ||
	    !same_target(feeder, program))
		return false;
	own = uses_of(image, feeder);
	of_program = uses_of(image, program);
	for (size_t i = 0; i < own.count; i++)
		if (has_use(&of_program, own.of[i]) && !has_use(better, own.of[i]))
			return true;
	return false;
}

static struct program *find_feeder(struct run *run, const struct elf_image *image, const struct program *program,
				   const struct uses *better)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (is_pending(&run->programs[i]) && feeds(image, &run->programs[i], program, better))
			return &run->programs[i];
	return NULL;
}

/* Whether the program, with what feeds it, uses everything that the better one uses, and that is anything. */
static bool does_the_same(struct run *run, const struct elf_image *image, const struct program *program,
			  const struct program *better)
{
	struct uses wanted = uses_of(image, better), all = uses_of(image, program);
	const struct program *feeder = find_feeder(run, image, program, &wanted);

	if (feeder)
		collect_uses(&all, image, feeder->name);
	for (size_t i = 0; i < wanted.count; i++)
		if (!has_use(&all, wanted.of[i]))
			return false;
	return wanted.count > 0;
}

static void leave_out(struct program *program, struct program *twin)
{
	program->twin = twin;
	program_set(program, PROGRAM_SKIPPED, "%s (section %s) is on the same hook and does the same; --prog %s takes "
					      "this one", twin->name, twin->section, program->name);
}

static struct program *find_better(struct run *run, const struct elf_image *image, const struct program *program)
{
	for (size_t i = 0; i < run->program_count; i++) {
		struct program *other = &run->programs[i];

		if (is_pending(other) && same_hook(program, other) &&
		    find_way(other)->rank < find_way(program)->rank && does_the_same(run, image, program, other))
			return other;
	}
	return NULL;
}

static void leave_out_with_feeder(struct run *run, const struct elf_image *image, struct program *program,
				  struct program *better)
{
	struct uses uses = uses_of(image, better);
	struct program *feeder = find_feeder(run, image, program, &uses);

	leave_out(program, better);
	if (feeder)
		leave_out(feeder, better);
}

void twins_leave_out(struct run *run, const struct elf_image *image)
{
	for (size_t i = 0; i < run->program_count; i++) {
		struct program *program = &run->programs[i];
		struct program *better = is_pending(program) ? find_better(run, image, program) : NULL;

		if (better)
			leave_out_with_feeder(run, image, program, better);
	}
}

static const struct program *find_left_out(const struct run *run, const struct program *program)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].twin == program)
			return &run->programs[i];
	return NULL;
}

/* The kernel gives a reason in the log of the verifier, or none when it cannot do that kind of program at all. */
static bool is_refused(const struct program *program)
{
	char line[256];

	snprintf(line, sizeof(line), "prog '%s': failed to load", program->name);
	return is_pending(program) && strstr(libbpf_log_text(), line);
}

static void give_way(const struct run *run, struct program *program)
{
	const struct program *twin = is_pending(program) ? find_left_out(run, program) : NULL;

	if (twin)
		program_set(program, PROGRAM_SKIPPED, "the kernel refused it, and %s (section %s) is on the same hook",
			    twin->name, twin->section);
}

static bool of_same_kind(const struct program *a, const struct program *b)
{
	const struct way *way = find_way(a), *other = find_way(b);

	return a->type == b->type && way && other && (way->kind == 't') == (other->kind == 't');
}

/* Without a log, all others of that kind would be refused one after the other. */
static void give_way_when_refused(struct run *run, struct program *program)
{
	bool all = is_refused(program) && !(program->log && *program->log);

	for (size_t i = 0; all && i < run->program_count; i++)
		if (of_same_kind(program, &run->programs[i]))
			give_way(run, &run->programs[i]);
	if (is_refused(program))
		give_way(run, program);
}

size_t twins_take_back(struct run *run)
{
	size_t count = 0;

	for (size_t i = 0; i < run->program_count; i++)
		give_way_when_refused(run, &run->programs[i]);
	for (size_t i = 0; i < run->program_count; i++) {
		struct program *program = &run->programs[i];

		if (!program->twin || is_pending(program->twin))
			continue;
		program->twin = NULL;
		program_set(program, PROGRAM_PENDING, "%s", "");
		count++;
	}
	return count;
}
