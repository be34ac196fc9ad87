#include "load/foreign.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load/foreign_maps.h"
#include "message.h"
#include "tool.h"
#include "load/verifier_log.h"

#define BPFFS "/sys/fs/bpf"
#define PINS BPFFS "/programs"
#define MAP_PINS BPFFS "/maps"
#define XDP_PINS BPFFS "/xdp/dispatch-*/prog*-prog" /* libxdp's doc/PROTOCOL */
#define KERNEL_NAME (BPF_OBJ_NAME_LEN - 1) /* the kernel keeps no more of a name */

#define LOG_BEGINS "-- BEGIN PROG LOAD LOG --\n"
#define LOG_ENDS "-- END PROG LOAD LOG --"

struct foreign_loader {
	const char *name;
	int (*load)(struct run *run, int signals); /* an exit status */
	void (*unload)(struct run *run);
};

static bool mounted;
static bool on_device; /* there is something to take off it */

static void format_device(const struct run *run, char name[IF_NAMESIZE])
{
	if (!if_indextoname(run->device_index, name))
		*name = '\0';
}

/* The last line that the tool said, without its own name before it. */
static const char *last_words(const struct text *words, char *line, size_t size)
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

		if (length > (size_t)(log - words->data) || strncmp(log - length, head, length))
			continue;
		log += strlen(LOG_BEGINS);
		snprintf(program->log, VERIFIER_LOG_BYTES, "%.*s", (int)(end - log), log);
		return program;
	}
	return NULL;
}

static int report_failed_load(struct run *run, int status, const struct text *words)
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
			 last_words(words, line, sizeof(line)));
	message_error(&(struct error_report){ .code = "load-failed", .brief = brief,
					      .details = words->size ? words->data : "",
					      .hint = "--loader runner takes what this loader does not, or says why not." });
	return EXIT_LOAD;
}

/* What it says when all is well: notes of what it did not do. */
static void pass_on(const struct text *words)
{
	const char *line = words->size ? words->data : "";

	while (*line) {
		size_t length = strcspn(line, "\n");

		if (length)
			message_log("note", "%.*s", (int)length, line);
		line += length + (line[length] == '\n');
	}
}

static bool is_pending_xdp(const struct program *program)
{
	return program->state == PROGRAM_PENDING && program->type == BPF_PROG_TYPE_XDP &&
	       !strstr(program->section, "devmap") && !strstr(program->section, "cpumap");
}

static void take_over(struct run *run, struct program *program, int fd)
{
	program->foreign_fd = fd;
	foreign_maps_of_program(run, fd);
}

static bool is_link(int fd)
{
	char self[64], kind[64] = "";

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return readlink(self, kind, sizeof(kind) - 1) > 0 && strstr(kind, "link");
}

/* A pinned program as it is, a pinned link as the program that it attaches. */
static int open_pinned_program(const char *path, struct bpf_link **link)
{
	struct bpf_link_info info = {};
	__u32 size = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0 || !is_link(fd))
		return fd;
	close(fd);
	*link = bpf_link__open(path);
	if (!*link || bpf_obj_get_info_by_fd(bpf_link__fd(*link), &info, &size))
		return -errno;
	return bpf_prog_get_fd_by_id(info.prog_id);
}

/* bpftool attaches an XDP program too, but by another command. */
static void bpftool_attach_xdp(struct run *run, int signals, struct program *program, char *path)
{
	char device[IF_NAMESIZE], line[300];
	char *const argv[] = { "bpftool", "net", "attach", "xdp", "pinned", path, "dev", device, NULL };
	struct text words = {};

	format_device(run, device);
	snprintf(program->target, sizeof(program->target), "%s", device);
	if (on_device)
		program_set(program, PROGRAM_SKIPPED, "a device takes one XDP program, and another is attached");
	else if (tool_run(&run->options, signals, argv, &words))
		program_set(program, PROGRAM_FAILED, "%s", last_words(&words, line, sizeof(line)));
	else
		program->state = PROGRAM_ATTACHED;
	on_device |= program->state == PROGRAM_ATTACHED;
	text_free(&words);
}

static void bpftool_take_over(struct run *run, int signals, struct program *program)
{
	const char *target = strchr(program->section, '/');
	char path[300];
	int fd;

	snprintf(path, sizeof(path), PINS "/%s", program->name);
	fd = open_pinned_program(path, &program->link);
	if (fd < 0) {
		program_set(program, PROGRAM_SKIPPED, "bpftool did not pin it: %s", strerror(errno));
		return;
	}
	take_over(run, program, fd);
	if (program->link) {
		snprintf(program->target, sizeof(program->target), "%s", target ? target + 1 : "");
		program->state = PROGRAM_ATTACHED;
	} else if (is_pending_xdp(program)) {
		bpftool_attach_xdp(run, signals, program, path);
	} else {
		program_set(program, PROGRAM_SKIPPED, "bpftool has loaded it, but autoattach is not for its type; "
						      "--loader runner attaches it");
	}
}

static int bpftool_load(struct run *run, int signals)
{
	char *const argv[] = { "bpftool", "prog", "loadall", (char *)run->options.object, PINS, "pinmaps", MAP_PINS,
			       "autoattach", NULL };
	struct text words = {};
	int status = tool_run(&run->options, signals, argv, &words);

	if (status) {
		status = report_failed_load(run, status, &words);
	} else {
		pass_on(&words);
		foreign_maps_pinned(run, MAP_PINS);
		for (size_t i = 0; i < run->program_count; i++)
			if (run->programs[i].state == PROGRAM_PENDING)
				bpftool_take_over(run, signals, &run->programs[i]);
	}
	text_free(&words);
	return status;
}

static void bpftool_unload(struct run *run)
{
	char device[IF_NAMESIZE];
	char *const argv[] = { "bpftool", "net", "detach", "xdp", "dev", device, NULL };
	struct text words = {};

	format_device(run, device);
	if (on_device)
		tool_run(NULL, -1, argv, &words);
	text_free(&words);
}

static bool is_called_by_kernel(int fd, const char *name)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &size) && !strncmp(info.name, name, KERNEL_NAME);
}

/* Where libxdp pins what its dispatcher calls; on a kernel without that, the program is the device's own. */
static int find_xdp_program(const struct run *run, const char *name)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	glob_t pins = {};
	int found = -1;

	glob(XDP_PINS, 0, NULL, &pins);
	for (size_t i = 0; i < pins.gl_pathc && found < 0; i++) {
		found = bpf_obj_get(pins.gl_pathv[i]);
		if (found >= 0 && !is_called_by_kernel(found, name)) {
			close(found);
			found = -1;
		}
	}
	globfree(&pins);
	if (found < 0 && !bpf_xdp_query(run->device_index, 0, &query))
		found = bpf_prog_get_fd_by_id(query.prog_id);
	return found;
}

static int xdp_loader_load_one(struct run *run, int signals, struct program *program)
{
	char device[IF_NAMESIZE];
	char *const argv[] = { "xdp-loader", "load", "--mode", "unspecified", "--prog-name", (char *)program->name,
			       device, (char *)run->options.object, NULL };
	struct text words = {};
	int status;

	format_device(run, device);
	status = tool_run(&run->options, signals, argv, &words);
	if (status) {
		status = report_failed_load(run, status, &words);
	} else {
		pass_on(&words);
		on_device = true;
		snprintf(program->target, sizeof(program->target), "%s", device);
		program->state = PROGRAM_ATTACHED;
		take_over(run, program, find_xdp_program(run, program->name));
	}
	text_free(&words);
	return status;
}

static int report_no_xdp(void)
{
	message_error(&(struct error_report){ .code = "attach-failed",
					      .brief = "the object holds no XDP program for xdp-loader to load",
					      .hint = "--loader runner attaches programs of every type." });
	return EXIT_ATTACH;
}

/* With --prog all of those, one behind the other, as libxdp can do; else the first. */
static int xdp_loader_load(struct run *run, int signals)
{
	size_t loaded = 0;

	for (size_t i = 0; i < run->program_count; i++) {
		struct program *program = &run->programs[i];

		if (!is_pending_xdp(program))
			continue;
		if (loaded && !run->options.program_count) {
			program_set(program, PROGRAM_SKIPPED, "xdp-loader loads one program; --prog %s chooses this one",
				    program->name);
			continue;
		}
		if (xdp_loader_load_one(run, signals, program))
			return EXIT_LOAD;
		loaded++;
	}
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_PENDING)
			program_set(&run->programs[i], PROGRAM_SKIPPED, "xdp-loader loads XDP programs only");
	return loaded ? EXIT_OK : report_no_xdp();
}

static void xdp_loader_unload(struct run *run)
{
	char device[IF_NAMESIZE];
	char *const argv[] = { "xdp-loader", "unload", device, "--all", NULL };
	struct text words = {};

	format_device(run, device);
	if (on_device && tool_run(NULL, -1, argv, &words))
		message_log("warning", "xdp-loader could not unload %s: %s", device, words.size ? words.data : "");
	text_free(&words);
}

static const struct foreign_loader LOADERS[] = {
	{ "bpftool", bpftool_load, bpftool_unload },
	{ "xdp-loader", xdp_loader_load, xdp_loader_unload },
};

const struct foreign_loader *foreign_loader(const char *name)
{
	for (size_t i = 0; i < COUNT(LOADERS); i++)
		if (!strcmp(LOADERS[i].name, name))
			return &LOADERS[i];
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

void foreign_unload(struct run *run)
{
	if (run->options.loader && on_device)
		run->options.loader->unload(run);
	on_device = false;
	if (mounted)
		umount2(BPFFS, MNT_DETACH);
	mounted = false;
}
