#include "load/foreign.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "load/foreign_loader.h"
#include "load/foreign_maps.h"
#include "load/verifier_log.h"
#include "message.h"

#define LOG_BEGINS "-- BEGIN PROG LOAD LOG --\n"
#define LOG_ENDS "-- END PROG LOAD LOG --"

static bool mounted;
static bool on_device; /* there is something to take off it */

void foreign_device(const struct run *run, char name[IF_NAMESIZE])
{
	if (!if_indextoname(run->device_index, name))
		*name = '\0';
}

const char *foreign_last_words(const struct text *words, char *line, size_t size)
{
	const char *end = words->size ? words->data + words->size : NULL;
	const char *start = end;

	*line = '\0';
	while (end && end > words->data && isspace((unsigned char)end[-1]))
		end--;
	for (start = end; start && start > words->data && start[-1] != '\n';)
		start--;
	if (start)
		snprintf(line, size, "%.*s", (int)(end - start), start);
	return strncmp(line, "Error: ", 7) ? line : line + 7;
}

/* "libbpf: prog 'NAME': -- BEGIN PROG LOAD LOG --", the log, and its end. */
static struct program *find_refused(struct run *run, const struct text *words)
{
	const char *log = words->size ? strstr(words->data, LOG_BEGINS) : NULL;
	const char *end = log ? strstr(log, LOG_ENDS) : NULL;

	for (size_t i = 0; end && i < run->program_count; i++) {
		struct program *program = &run->programs[i];
		char head[160];
		size_t length = snprintf(head, sizeof(head), "'%s': ", program->name);

		if (!program->log || length > (size_t)(log - words->data) || strncmp(log - length, head, length))
			continue;
		log += strlen(LOG_BEGINS);
		snprintf(program->log, VERIFIER_LOG_BYTES, "%.*s", (int)(end - log), log);
		return program;
	}
	return NULL;
}

int foreign_report(struct run *run, int status, const struct text *words)
{
	const char *name = run->options.loader->name;
	struct program *refused = find_refused(run, words);
	char brief[400], line[300];

	if (status == -EINTR)
		return EXIT_INTERRUPTED;
	if (refused) {
		program_set(refused, PROGRAM_FAILED, "refused by the verifier");
		verifier_report(&run->options, refused);
		return EXIT_LOAD;
	}
	if (status < 0)
		snprintf(brief, sizeof(brief), "%s could not be run: %s", name, strerror(-status));
	else
		snprintf(brief, sizeof(brief), "%s ended with status %d: %s", name, status,
			 foreign_last_words(words, line, sizeof(line)));
	message_error(&(struct error_report){ .code = "load-failed", .brief = brief,
					      .details = words->size ? words->data : "",
					      .hint = words->size && strstr(words->data, "got: 'autoattach'") ?
							      "This bpftool is older than its autoattach: use "
							      "--loader runner, or an instance of a newer image." :
							      "--loader runner takes what this loader does not, or "
							      "says why not." });
	return EXIT_LOAD;
}

void foreign_pass_on(const struct text *words)
{
	const char *line = words->size ? words->data : "";

	while (*line) {
		size_t length = strcspn(line, "\n");

		if (length)
			message_log("note", "%.*s", (int)length, line);
		line += length + (line[length] == '\n');
	}
}

bool foreign_is_xdp(const struct program *program)
{
	return program->state == PROGRAM_PENDING && program->type == BPF_PROG_TYPE_XDP &&
	       !strstr(program->section, "devmap") && !strstr(program->section, "cpumap");
}

void foreign_take_over(struct run *run, struct program *program, int fd)
{
	program->foreign_fd = fd;
	foreign_maps_of_program(run, fd);
}

void foreign_is_on_device(void)
{
	on_device = true;
}

static const struct foreign_loader *const LOADERS[] = { &bpftool_loader, &xdp_loader };

const struct foreign_loader *foreign_loader(const char *name)
{
	for (size_t i = 0; i < COUNT(LOADERS); i++)
		if (!strcmp(LOADERS[i]->name, name))
			return LOADERS[i];
	return NULL;
}

static int mount_bpffs(void)
{
	char brief[200];

	if (!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) &&
	    !mount("bpf", BPFFS, "bpf", 0, NULL)) {
		mounted = true;
		if (!mkdir(PINS, 0700) && !mkdir(MAP_PINS, 0700))
			return EXIT_OK;
	}
	snprintf(brief, sizeof(brief), "there can be no place to pin to at " BPFFS ": %s", strerror(errno));
	message_error(&(struct error_report){ .code = "load-failed", .brief = brief });
	return EXIT_LOAD;
}

static void mark_left(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_PENDING)
			program_set(&run->programs[i], PROGRAM_SKIPPED, "the object could not be loaded");
}

int foreign_load(struct run *run, int signals)
{
	int status = mount_bpffs();

	if (!status)
		status = run->options.loader->load(run, signals);
	if (status)
		mark_left(run);
	return status;
}

void foreign_unpin(void)
{
	if (mounted)
		umount2(BPFFS, MNT_DETACH);
	mounted = false;
}

void foreign_unload(struct run *run)
{
	if (on_device)
		run->options.loader->unload(run);
	on_device = false;
	foreign_unpin();
}
