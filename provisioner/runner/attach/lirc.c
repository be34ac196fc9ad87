#include "attach/lirc.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <unistd.h>

#include "util.h"

/* The device outlives us, and so would a program attached to it. */
static struct {
	int device, program;
} attached_lirc[16];
static size_t attached_lirc_count;

static bool find_lirc(char *path, size_t size)
{
	glob_t found;
	bool any = !glob("/dev/lirc*", 0, NULL, &found);

	if (any)
		snprintf(path, size, "%s", found.gl_pathv[0]);
	globfree(&found);
	return any;
}

int attach_lirc(struct run *run, struct program *program)
{
	int program_fd = bpf_program__fd(program->bpf);
	int device;

	(void)run;
	if (!find_lirc(program->target, sizeof(program->target))) {
		program_set(program, PROGRAM_SKIPPED,
			    "it attaches to an infrared receiver, and there is no /dev/lirc*; the kernel module "
			    "rc-loopback makes one where the kernel has it (CONFIG_RC_LOOPBACK)");
		return 0;
	}
	if (attached_lirc_count == COUNT(attached_lirc))
		return -ENOSPC;
	device = open(program->target, O_RDONLY | O_CLOEXEC);
	if (device < 0 || bpf_prog_attach(program_fd, device, BPF_LIRC_MODE2, 0))
		return -errno;
	attached_lirc[attached_lirc_count].device = device;
	attached_lirc[attached_lirc_count++].program = program_fd;
	return 0;
}

void lirc_detach(void)
{
	while (attached_lirc_count) {
		attached_lirc_count--;
		bpf_prog_detach2(attached_lirc[attached_lirc_count].program, attached_lirc[attached_lirc_count].device,
				 BPF_LIRC_MODE2);
		close(attached_lirc[attached_lirc_count].device);
	}
}
