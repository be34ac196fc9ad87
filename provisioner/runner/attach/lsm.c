#include "attach/lsm.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/cgroups.h"
#include "message.h"

#ifndef SYS_lsm_list_modules
#define SYS_lsm_list_modules 461 /* since Linux 6.8, the same on every architecture */
#endif
#define LSM_ID_OF_BPF 109 /* LSM_ID_BPF of <linux/lsm.h> */
#define MAX_LSMS 64

#define AWAIT_TRIES 100
#define AWAIT_MICROSECONDS 10000

/* As the kernel spells it: "lockdown,yama,bpf"; empty when it does not say. */
static const char *lsm_names(void)
{
	static char names[256];
	int fd = open("/sys/kernel/security/lsm", O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, names, sizeof(names) - 1);

	names[size > 0 ? size : 0] = '\0';
	close(fd);
	return names;
}

static bool names_bpf(const char *names)
{
	const char *found = strstr(names, "bpf");

	return found && (found == names || found[-1] == ',') && !isalpha((unsigned char)found[3]);
}

/* Asks the kernel itself first: securityfs need not be mounted. What nobody tells is taken to be in order. */
static bool bpf_lsm_is_active(void)
{
	uint64_t ids[MAX_LSMS];
	uint32_t size = sizeof(ids);
	long count = syscall(SYS_lsm_list_modules, ids, &size, 0);

	for (long i = 0; i < count; i++)
		if (ids[i] == LSM_ID_OF_BPF)
			return true;
	return count < 0 && (!*lsm_names() || names_bpf(lsm_names()));
}

static bool refuse_without_lsm(struct program *program)
{
	const char *target = strchr(program->section, '/');

	if (target)
		snprintf(program->target, sizeof(program->target), "%s", target + 1);
	if (bpf_lsm_is_active())
		return false;
	program_set(program, PROGRAM_FAILED,
		    "it loads but would never run: bpf is not among the kernel's active LSMs%s%s%s; boot it with lsm=...,bpf",
		    *lsm_names() ? " (" : "", lsm_names(), *lsm_names() ? ")" : "");
	return true;
}

int attach_lsm(struct run *run, struct program *program)
{
	(void)run;
	if (refuse_without_lsm(program))
		return 0;
	program->link = bpf_program__attach_lsm(program->bpf);
	return program->link ? 0 : -errno;
}

int attach_lsm_cgroup(struct run *run, struct program *program)
{
	return refuse_without_lsm(program) ? 0 : attach_cgroup(run, program);
}

bool judges_bpf(const struct program *program)
{
	static const char *const targets[] = { "bpf", "bpf_map", "bpf_prog", "security_bpf", "security_bpf_map",
					       "security_bpf_prog", "__sys_bpf", "sys_bpf", "__x64_sys_bpf",
					       "__arm64_sys_bpf" };
	const char *target = strrchr(program->section, '/');
	bool may_deny = section_under(program->section, "lsm") || section_under(program->section, "fmod_ret") ||
			section_under(program->section, "lsm_cgroup") || program->type == BPF_PROG_TYPE_KPROBE;

	for (size_t i = 0; target && may_deny && i < sizeof(targets) / sizeof(targets[0]); i++)
		if (!strcmp(target + 1, targets[i]))
			return true;
	return false;
}

static bool bpf_is_denied(void)
{
	__u32 id;

	return bpf_prog_get_next_id(0, &id) && errno != ENOENT;
}

bool bpf_is_judged(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_ATTACHED && judges_bpf(&run->programs[i]))
			return true;
	return false;
}

/* The kernel may take a program off its hook a moment after the link was closed. */
void await_bpf(const struct run *run)
{
	if (!bpf_is_judged(run))
		return;
	for (int i = 0; bpf_is_denied(); i++) {
		if (i == AWAIT_TRIES) {
			message_log("warning", "maps and counts could not be read: bpf() is denied even after detaching");
			return;
		}
		usleep(AWAIT_MICROSECONDS);
	}
}
