#include "attach/cgroups.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "testbed/cgroup_work.h"
#include "util.h"

#define OUR_PARENT "ebpf-dev" /* holds one cgroup for each runner, named by its pid */
#define MAX_PROCESSES "1024" /* in our own: a fork bomb must leave room for what ends it */
#define REMOVE_TRIES 1000
#define REMOVE_WAIT_MICROSECONDS 10000

static struct {
	char mount[PATH_MAX - 64];
	char path[PATH_MAX];
	int fd;		/* where programs attach; 0 before it is known */
	pid_t keeper;	/* removes our own; 0 when --cgroup chose one */
} cgroup;

static int find_mount(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	int error = -ENOENT;

	while (error && mounts && (entry = getmntent(mounts)))
		if (!strcmp(entry->mnt_type, "cgroup2")) {
			snprintf(cgroup.mount, sizeof(cgroup.mount), "%s", entry->mnt_dir);
			error = 0;
		}
	if (mounts)
		endmntent(mounts);
	return error;
}

int cgroups_root(void)
{
	int error = find_mount();
	int fd = error ? error : open(cgroup.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd == -1 ? -errno : fd;
}

static void write_below(const char *directory, const char *name, const char *text)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	write_file(path, text);
}

/* A cgroup can be removed once its last process has gone, which takes a moment after it was killed. */
static void empty_and_remove(const char *path)
{
	write_below(path, "cgroup.kill", "1");
	for (int i = 0; i < REMOVE_TRIES && rmdir(path) && errno == EBUSY; i++)
		usleep(REMOVE_WAIT_MICROSECONDS);
}

static bool is_of_dead_runner(const char *name)
{
	return isdigit((unsigned char)*name) && kill(atoi(name), 0) && errno == ESRCH;
}

/* What is left when a keeper was killed with its runner. */
static void remove_stale(const char *parent)
{
	DIR *directory = opendir(parent);
	struct dirent *entry;
	char path[PATH_MAX];

	while (directory && (entry = readdir(directory)))
		if (is_of_dead_runner(entry->d_name) && snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name) > 0)
			empty_and_remove(path);
	if (directory)
		closedir(directory);
}

static void remove_ours(void)
{
	empty_and_remove(cgroup.path);
	*strrchr(cgroup.path, '/') = '\0';
	rmdir(cgroup.path); /* stays while another runner needs it */
}

/* Waits until it is told or the runner is dead; nothing else ends it. */
static void keep_ours(pid_t runner)
{
	sigset_t all, told;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigemptyset(&told);
	sigaddset(&told, SIGTERM);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == runner) /* it did not die before the line above */
		sigwaitinfo(&told, NULL);
	remove_ours();
	_exit(0);
}

/* As far as the controller is there. */
static void limit_ours(const char *parent)
{
	write_below(cgroup.mount, "cgroup.subtree_control", "+pids");
	write_below(parent, "cgroup.subtree_control", "+pids");
	write_below(cgroup.path, "pids.max", MAX_PROCESSES);
}

static int make_ours(void)
{
	pid_t runner = getpid();
	char parent[sizeof(cgroup.mount) + 16];

	snprintf(parent, sizeof(parent), "%s/" OUR_PARENT, cgroup.mount);
	if (mkdir(parent, 0755) && errno != EEXIST)
		return -errno;
	remove_stale(parent);
	snprintf(cgroup.path, sizeof(cgroup.path), "%s/%d", parent, (int)runner);
	if (mkdir(cgroup.path, 0755) && errno != EEXIST)
		return -errno;
	limit_ours(parent);
	cgroup.keeper = fork_worker();
	if (cgroup.keeper == 0)
		keep_ours(runner);
	return cgroup.keeper < 0 ? cgroup.keeper : 0;
}

static void take_chosen(const char *chosen)
{
	snprintf(cgroup.path, sizeof(cgroup.path), "%s%s%s", *chosen == '/' ? "" : cgroup.mount,
		 *chosen == '/' ? "" : "/", chosen);
}

static int open_cgroup(const char *chosen)
{
	int error = find_mount();

	if (!error && chosen)
		take_chosen(chosen);
	else if (!error)
		error = make_ours();
	if (error)
		return error;
	cgroup.fd = open(cgroup.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup.fd < 0)
		return -errno;
	if (chosen)
		message_log("note", "no workload is started in %s: its own processes set the programs off", cgroup.path);
	return 0;
}

static int ensure_cgroup(const char *chosen)
{
	static int error;

	if (!cgroup.fd)
		error = open_cgroup(chosen);
	return error;
}

/* Only "cgroup/skb" leaves the direction open to the program's name. */
static enum bpf_attach_type attach_type(const struct program *program)
{
	enum bpf_attach_type type = bpf_program__expected_attach_type(program->bpf);

	if (program->type != BPF_PROG_TYPE_CGROUP_SKB)
		return type;
	if (type == BPF_CGROUP_INET_EGRESS || strstr(program->section, "ingress"))
		return type;
	return strstr(program->name, "egress") ? BPF_CGROUP_INET_EGRESS : BPF_CGROUP_INET_INGRESS;
}

int attach_cgroup(struct run *run, struct program *program)
{
	int error = ensure_cgroup(run->options.cgroup);

	if (error) {
		program_set(program, PROGRAM_FAILED, "cannot open the cgroup %s: %s",
			    *cgroup.path ? cgroup.path : "(is cgroup2 mounted?)", strerror(-error));
		return 0;
	}
	snprintf(program->target, sizeof(program->target), "%s", cgroup.path);
	program->link_fd = bpf_link_create(bpf_program__fd(program->bpf), cgroup.fd, attach_type(program), NULL);
	return program->link_fd < 0 ? program->link_fd : 0;
}

bool is_cgroup_type(enum bpf_prog_type type)
{
	switch (type) {
	case BPF_PROG_TYPE_CGROUP_SKB:
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
	case BPF_PROG_TYPE_CGROUP_SOCKOPT:
	case BPF_PROG_TYPE_CGROUP_SYSCTL:
	case BPF_PROG_TYPE_CGROUP_DEVICE:
	case BPF_PROG_TYPE_SOCK_OPS:
		return true;
	default:
		return false;
	}
}

bool cgroups_has_ours(void)
{
	return cgroup.keeper > 0;
}

void cgroups_join(void)
{
	if (cgroups_has_ours())
		write_below(cgroup.path, "cgroup.procs", "0");
}

void cgroups_make(void)
{
	ensure_cgroup(NULL);
}

void cgroups_start_work(void)
{
	message_log("note", "exercising sockets, sysctls and devices%s", cgroups_has_ours() ? " inside the cgroup" : "");
	if (fork_worker() == 0) {
		cgroups_join();
		cgroup_work_forever();
	}
}

void cgroups_kill(void)
{
	if (cgroups_has_ours())
		write_below(cgroup.path, "cgroup.kill", "1");
}

void cgroups_remove(void)
{
	if (cgroup.fd > 0)
		close(cgroup.fd);
	if (cgroup.keeper > 0 && !kill(cgroup.keeper, SIGTERM))
		waitpid(cgroup.keeper, NULL, 0);
	cgroup.fd = 0;
	cgroup.keeper = 0;
}
