#include "load/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bpf.h>

#include "attach/struct_ops.h"
#include "load/dialect.h"
#include "load/elf_image.h"
#include "load/extensions.h"
#include "load/libbpf_log.h"
#include "load/map_defaults.h"
#include "load/map_types.h"
#include "load/params.h"
#include "load/relocations.h"
#include "load/targets.h"
#include "load/twins.h"
#include "load/types.h"
#include "load/verifier_log.h"
#include "message.h"
#include "show/events.h"

void program_set(struct program *program, enum program_state state, const char *format, ...)
{
	va_list arguments;

	program->state = state;
	va_start(arguments, format);
	vsnprintf(program->reason, sizeof(program->reason), format, arguments);
	va_end(arguments);
}

bool section_under(const char *section, const char *prefix)
{
	size_t length = strlen(prefix);

	return !strncmp(section, prefix, length) && (!section[length] || strchr("/.", section[length]));
}

/* Both program types take the same code, but only classifiers can be attached by themselves. */
static void turn_action_into_classifier(struct bpf_program *program)
{
	if (bpf_program__type(program) == BPF_PROG_TYPE_SCHED_ACT)
		bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
}

static bool is_chosen(const struct options *options, const char *name)
{
	for (size_t i = 0; i < options->program_count; i++)
		if (!strcmp(options->programs[i], name))
			return true;
	return false;
}

static void select_program(const struct options *options, struct program *program)
{
	program->is_wanted = !options->program_count || is_chosen(options, program->name);
	if (!program->is_wanted)
		program_set(program, PROGRAM_SKIPPED, "not chosen by --prog");
	else if (!options->program_count && !bpf_program__autoload(program->bpf))
		program_set(program, PROGRAM_SKIPPED, "its section asks to leave it off: SEC(\"?%s\")",
			    program->section);
	else if (bpf_program__type(program->bpf) == BPF_PROG_TYPE_UNSPEC)
		program_set(program, PROGRAM_SKIPPED, "section \"%s\" names no known program type",
			    program->section);
}

static void prepare_program(const struct options *options, struct program *program, bool first_time)
{
	turn_action_into_classifier(program->bpf);
	program->name = bpf_program__name(program->bpf);
	program->section = bpf_program__section_name(program->bpf);
	program->type = bpf_program__type(program->bpf);
	if (first_time)
		select_program(options, program);
	bpf_program__set_autoload(program->bpf, program->state == PROGRAM_PENDING);
	if (!program->log)
		program->log = malloc(VERIFIER_LOG_BYTES);
	if (program->log) {
		program->log[0] = '\0';
		bpf_program__set_log_buf(program->bpf, program->log, VERIFIER_LOG_BYTES);
	}
}

static size_t count_programs(const struct bpf_object *object)
{
	struct bpf_program *program;
	size_t count = 0;

	bpf_object__for_each_program(program, object)
		count++;
	return count;
}

static void prepare_programs(struct run *run)
{
	bool first_time = !run->programs;
	struct bpf_program *bpf;
	size_t i = 0;

	if (first_time) {
		run->program_count = count_programs(run->object);
		run->programs = calloc(run->program_count + 1, sizeof(*run->programs));
	}
	bpf_object__for_each_program(bpf, run->object) {
		struct program *program = &run->programs[i++];

		program->bpf = bpf;
		dialect_infer_type(run->object, bpf);
		program->link_fd = program->foreign_fd = program->verdicts_fd = program->verdicts_link_fd = -1;
		prepare_program(&run->options, program, first_time);
	}
}

static void prepare_maps(struct run *run)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, run->object) {
		bpf_map__set_pin_path(map, NULL); /* LIBBPF_PIN_BY_NAME would outlive us */
		map_types_remember(map);
		events_prepare_map(map);
		struct_ops_prepare_map(map);
		map_set_defaults(map);
	}
}

/* The object file as libbpf gets it. It is needed again when the object is opened a second time. */
static struct elf_image object_image;

static int refuse_image(const struct options *options, const char *why)
{
	char brief[400];

	snprintf(brief, sizeof(brief), "%s cannot be loaded: %s", options->object, why);
	message_error(&(struct error_report){
		.code = "open-failed",
		.brief = brief,
		.hint = "Compile the program with clang -g -O2 -target bpf -c.",
	});
	return EXIT_LOAD;
}

static int read_image(const struct options *options)
{
	int error = elf_image_read(&object_image, options->object);

	if (error)
		return refuse_image(options, strerror(-error));
	if (elf_image_fault(&object_image))
		return refuse_image(options, elf_image_fault(&object_image));
	dialect_repair(&object_image);
	relocations_settle_own(&object_image);
	error = dialect_set_license(&object_image, options->license);
	return error ? refuse_image(options, "its license cannot be set") : EXIT_OK;
}

static int report_open_failure(const struct options *options, int error)
{
	char words[128];
	char brief[400];

	libbpf_strerror(error, words, sizeof(words)); /* knows libbpf's own numbers too */
	snprintf(brief, sizeof(brief), "libbpf cannot open %s: %s", options->object, words);
	message_error(&(struct error_report){
		.code = "open-failed",
		.brief = brief,
		.details = libbpf_log_text(),
		.hint = strstr(libbpf_log_text(), "legacy map definitions") ?
				"Define all maps in section \".maps\": __uint(type, ...), __type(key, ...), ..." : "",
	});
	return EXIT_LOAD;
}

struct bpf_object *open_image(void)
{
	/* A fixed name without a dot, so that what follows the dot of ".bss" and the like is the section. */
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "ebpf_dev");

	return bpf_object__open_mem(object_image.data, object_image.size, &opts);
}

/* Both when the object is opened for the first time and when it is opened again for another try. */
static int open_object(struct run *run)
{
	libbpf_log_clear();
	bpf_object__close(run->object);
	run->object = open_image();
	if (!run->object)
		return report_open_failure(&run->options, -errno);
	prepare_programs(run);
	set_targets(run);
	extensions_defer(run);
	prepare_maps(run);
	return params_set_variables(run);
}

static const char *load_hint(int error, const char *warnings)
{
	if (strstr(warnings, "extern") && strstr(warnings, "BTF"))
		return "An extern function or variable is not in this kernel; helpers come from <bpf/bpf_helpers.h>.";
	if (strstr(warnings, "failed to create"))
		return "Look at the map's type, max_entries, key and value sizes.";
	if (error == -EPERM)
		return "The kernel did not allow it; is the runner root, and is the kernel not locked down?";
	return "";
}

static void mark_unloaded(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_PENDING)
			program_set(&run->programs[i], PROGRAM_SKIPPED, "the object could not be loaded");
}

static int report_load_failure(const struct run *run, int error)
{
	const char *details = *libbpf_log_text() ? libbpf_log_text() : strerror(-error);
	char brief[200];

	for (size_t i = 0; i < run->program_count; i++) {
		if (run->programs[i].log && run->programs[i].log[0]) {
			program_set(&run->programs[i], PROGRAM_FAILED, "refused by the verifier");
			verifier_report(&run->options, &run->programs[i]);
			return EXIT_LOAD;
		}
	}
	if (struct_ops_explain(run, details))
		return EXIT_LOAD;
	snprintf(brief, sizeof(brief), "the object could not be loaded: %s", strerror(-error));
	message_error(&(struct error_report){
		.code = "load-failed",
		.brief = brief,
		.details = details,
		.hint = load_hint(error, details),
	});
	return EXIT_LOAD;
}

static int report_unknown_choice(const struct run *run, const char *name)
{
	char brief[200];
	char details[1024] = "The object holds:";

	for (size_t i = 0; i < run->program_count; i++) {
		size_t used = strlen(details);

		snprintf(details + used, sizeof(details) - used, " %s", run->programs[i].name);
	}
	snprintf(brief, sizeof(brief), "the object has no program %s", name);
	message_error(&(struct error_report){
		.code = "open-failed",
		.brief = brief,
		.details = details,
		.hint = "--prog takes the name of the C function.",
	});
	return EXIT_LOAD;
}

static int check_choices(const struct run *run)
{
	for (size_t i = 0; i < run->options.program_count; i++) {
		const char *name = run->options.programs[i];

		if (!bpf_object__find_program_by_name(run->object, name))
			return report_unknown_choice(run, name);
	}
	return EXIT_OK;
}

static void choose_twins(struct run *run)
{
	twins_leave_out(run, &object_image);
	for (size_t i = 0; i < run->program_count; i++) {
		struct program *program = &run->programs[i];

		bpf_program__set_autoload(program->bpf, program->state == PROGRAM_PENDING && !program->extends);
	}
}

/* What this kernel does not have is left off, and what was left out for its sake is taken back. */
static bool find_another_way(struct run *run)
{
	size_t changes = settle_absent_targets(run) + skip_unknown_types(run);

	return changes + twins_take_back(run) > 0;
}

/*
 * A first try without looking at targets costs nothing when all are there, which is the normal case. An object
 * none of whose programs is left loads too; the attach stage then says why nothing runs.
 */
static int try_loading(struct run *run)
{
	int error = bpf_object__load(run->object);
	int status;

	while (error && find_another_way(run)) {
		status = open_object(run);
		if (status)
			return status;
		choose_twins(run);
		error = bpf_object__load(run->object);
	}
	if (!error)
		error = extensions_load(run);
	if (!error)
		return EXIT_OK;
	status = report_load_failure(run, error);
	mark_unloaded(run);
	return status;
}

static void free_logs(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++) {
		free(run->programs[i].log);
		run->programs[i].log = NULL;
	}
}

int open_for_foreign(struct run *run)
{
	int status = read_image(&run->options);

	if (!status)
		status = open_object(run);
	return status ? status : check_choices(run);
}

int load_object(struct run *run)
{
	int status = open_for_foreign(run);

	if (!status)
		status = struct_ops_check(run);
	if (status) {
		mark_unloaded(run);
		return status;
	}
	choose_twins(run);
	status = try_loading(run);
	if (status)
		return status;
	free_logs(run);
	libbpf_log_forward();
	return params_fill_maps(run);
}

void unload_object(struct run *run)
{
	free_logs(run);
	free(run->programs);
	bpf_object__close(run->extensions);
	bpf_object__close(run->object);
	elf_image_free(&object_image);
	run->programs = NULL;
	run->program_count = 0;
	run->object = NULL;
}
