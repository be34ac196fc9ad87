#include <glob.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load/foreign_loader.h"
#include "message.h"
#include "tool.h"

#define XDP_PINS BPFFS "/xdp/dispatch-*/prog*-prog" /* where libxdp puts what its dispatcher calls */
#define KERNEL_NAME (BPF_OBJ_NAME_LEN - 1) /* the kernel keeps no more of a name */

static bool is_called_by_kernel(int fd, const char *name)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &size) && !strncmp(info.name, name, KERNEL_NAME);
}

/* On a kernel that takes no dispatcher, the program is the device's own. */
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

	foreign_device(run, device);
	status = tool_run(&run->options, signals, argv, &words);
	if (status) {
		status = foreign_report(run, status, &words);
	} else {
		foreign_pass_on(&words);
		foreign_is_on_device();
		snprintf(program->target, sizeof(program->target), "%s", device);
		program->state = PROGRAM_ATTACHED;
		foreign_take_over(run, program, find_xdp_program(run, program->name));
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

		if (!foreign_is_xdp(program))
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

	foreign_device(run, device);
	if (tool_run(NULL, -1, argv, &words))
		message_log("warning", "xdp-loader could not unload %s: %s", device, words.size ? words.data : "");
	text_free(&words);
}

const struct foreign_loader xdp_loader = { "xdp-loader", xdp_loader_load, xdp_loader_unload };
