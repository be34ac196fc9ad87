#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load/foreign_loader.h"
#include "load/foreign_maps.h"
#include "tool.h"

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

static bool has_attached_xdp(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].type == BPF_PROG_TYPE_XDP && run->programs[i].state == PROGRAM_ATTACHED)
			return true;
	return false;
}

/* bpftool attaches an XDP program too, but by another command. */
static void bpftool_attach_xdp(struct run *run, int signals, struct program *program, char *path)
{
	char device[IF_NAMESIZE], line[300];
	char *const argv[] = { "bpftool", "net", "attach", "xdp", "pinned", path, "dev", device, NULL };
	struct text words = {};

	foreign_device(run, device);
	snprintf(program->target, sizeof(program->target), "%s", device);
	if (has_attached_xdp(run))
		program_set(program, PROGRAM_SKIPPED, "a device takes one XDP program, and another is attached");
	else if (tool_run(&run->options, signals, argv, &words))
		program_set(program, PROGRAM_FAILED, "%s", foreign_last_words(&words, line, sizeof(line)));
	else
		program->state = PROGRAM_ATTACHED;
	if (program->state == PROGRAM_ATTACHED)
		foreign_is_on_device();
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
	foreign_take_over(run, program, fd);
	if (program->link) {
		snprintf(program->target, sizeof(program->target), "%s", target ? target + 1 : "");
		program->state = PROGRAM_ATTACHED;
	} else if (foreign_is_xdp(program)) {
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
		status = foreign_report(run, status, &words);
	} else {
		foreign_pass_on(&words);
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

	foreign_unpin(); /* first, for programs on tracepoints would see bpftool at work */
	foreign_device(run, device);
	tool_run(NULL, -1, argv, &words);
	text_free(&words);
}

const struct foreign_loader bpftool_loader = { "bpftool", bpftool_load, bpftool_unload };
