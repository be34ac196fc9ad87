#include "testbed/exercises.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

/* Every system call of this architecture; the Makefile writes the list. */
static const struct call {
	const char *name;
	long number;
} CALLS[] = {
#include "system_calls.inc"
};

/* Where the kernel's name is not the one of the interface. */
static const struct {
	const char *kernel;
	const char *name;
} OTHER_NAMES[] = {
	{ "newstat", "stat" },	     { "newlstat", "lstat" },	 { "newfstat", "fstat" },  { "newuname", "uname" },
	{ "umount", "umount2" },     { "sendfile64", "sendfile" }, { "fadvise64_64", "fadvise64" },
};

/* What the other exercises make, by way of libc. */
static const char *const MADE_ANYWAY[] = {
	"accept4", "access", "bind", "brk", "clone", "close", "connect", "execve", "exit", "exit_group", "fallocate",
	"fchmod", "fchown", "fdatasync", "flock", "fsconfig", "fsmount", "fsopen", "fstat", "fsync", "ftruncate",
	"futex", "getdents64", "getsockname", "getxattr", "ioctl", "kill", "listen", "lseek", "madvise", "mkdir",
	"mmap", "mount", "move_mount", "mprotect", "mremap", "msync", "munmap", "nanosleep", "newfstatat", "openat",
	"prctl", "pread64", "ptrace", "pwrite64", "read", "readlink", "recvfrom", "rename", "rmdir", "rt_sigaction",
	"rt_sigqueueinfo", "sched_yield", "sendfile", "sendto", "setgid", "sethostname", "setpriority", "setsid",
	"setsockopt", "setuid", "setxattr", "shutdown", "socket", "socketpair", "statfs", "symlink", "syncfs", "tgkill",
	"tkill", "truncate", "umount2", "unlink", "unshare", "utimensat", "wait4", "write",
};

static char buffer[4096];

/* Arguments that let a call succeed; it is made in our empty directory. */
static const struct arguments {
	const char *name;
	long values[4];
} SENSIBLE[] = {
	{ "open", { (long)"/etc/hostname", O_RDONLY } },
	{ "openat2", { AT_FDCWD, (long)"/etc/hostname", (long)buffer, 24 } },
	{ "creat", { (long)"created.txt", 0600 } },
	{ "stat", { (long)"/etc/hostname", (long)buffer } },
	{ "lstat", { (long)"/etc/hostname", (long)buffer } },
	{ "statx", { AT_FDCWD, (long)"/etc/hostname", 0, 0x7ff } },
	{ "faccessat", { AT_FDCWD, (long)"/etc/hostname", R_OK } },
	{ "chmod", { (long)".", 0700 } },
	{ "fchmodat", { AT_FDCWD, (long)".", 0700 } },
	{ "chdir", { (long)"." } },
	{ "mkdirat", { AT_FDCWD, (long)"made", 0700 } },
	{ "unlinkat", { AT_FDCWD, (long)"missing.txt", 0 } },
	{ "getcwd", { (long)buffer, sizeof(buffer) } },
	{ "dup", { 1 } },
	{ "dup2", { 1, 100 } },
	{ "dup3", { 1, 100, 0 } },
	{ "pipe", { (long)buffer } },
	{ "pipe2", { (long)buffer, 0 } },
	{ "poll", { 0, 0, 1 } },
	{ "epoll_create1", { 0 } },
	{ "eventfd2", { 0, 0 } },
	{ "memfd_create", { (long)"ebpf-dev", 0 } },
	{ "inotify_init1", { 0 } },
	{ "getrandom", { (long)buffer, 16, 0 } },
	{ "uname", { (long)buffer } },
	{ "sysinfo", { (long)buffer } },
	{ "times", { (long)buffer } },
	{ "clock_gettime", { 0, (long)buffer } },
	{ "gettimeofday", { (long)buffer, 0 } },
	{ "getrusage", { 0, (long)buffer } },
	{ "sched_getaffinity", { 0, sizeof(buffer), (long)buffer } },
	{ "accept", { 0, 0, 0 } },
	{ "bpf", { 11 /* BPF_PROG_GET_NEXT_ID */, (long)buffer, 12 } },
};

#define ROWS(array) (sizeof(array) / sizeof((array)[0]))

void exercise_bpf(void)
{
	__u32 first;

	bpf_prog_get_next_id(0, &first);
	close(bpf_map_create(BPF_MAP_TYPE_ARRAY, "ebpf_dev", 4, 4, 1, NULL));
}

static const char *interface_name(const char *kernel_name)
{
	for (size_t i = 0; i < ROWS(OTHER_NAMES); i++)
		if (!strcmp(OTHER_NAMES[i].kernel, kernel_name))
			return OTHER_NAMES[i].name;
	return kernel_name;
}

static bool is_made_anyway(const char *name)
{
	for (size_t i = 0; i < ROWS(MADE_ANYWAY); i++)
		if (!strcmp(MADE_ANYWAY[i], name))
			return true;
	return false;
}

static const struct call *find_number(const char *name)
{
	for (size_t i = 0; i < ROWS(CALLS); i++)
		if (!strcmp(CALLS[i].name, name))
			return &CALLS[i];
	return NULL;
}

static const long *choose_arguments(const char *name)
{
	/* As a descriptor, an address, a size or flags, -1 is refused by every call that could do harm. */
	static const long refused[4] = { -1, -1, -1, -1 };

	for (size_t i = 0; i < ROWS(SENSIBLE); i++)
		if (!strcmp(SENSIBLE[i].name, name))
			return SENSIBLE[i].values;
	return refused;
}

static void make_call(const struct call *call)
{
	const long *values = choose_arguments(call->name);
	struct rlimit none = {};

	setsid();		       /* vhangup hangs up nobody's terminal */
	setrlimit(RLIMIT_CORE, &none); /* rt_sigreturn and vfork end in a crash */
	alarm(1);		       /* pause */
	/* The fifth and sixth arguments are sizes and flags of calls that look at the others first. */
	syscall(call->number, values[0], values[1], values[2], values[3], -1L, -1L);
	_exit(0);
}

void exercise_call(const char *kernel_name)
{
	const char *name = interface_name(kernel_name);
	const struct call *call = find_number(name);
	pid_t pid;

	if (!call || is_made_anyway(name))
		return;
	pid = fork_tied();
	if (pid == 0)
		make_call(call);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}
