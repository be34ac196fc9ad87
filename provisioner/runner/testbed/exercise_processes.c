#include "testbed/exercises.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

/* Each of these needs a process of its own, whose end is waited for. */
static void in_a_child(void (*action)(void))
{
	pid_t pid = fork_tied();

	if (pid == 0) {
		action();
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void become_true(void)
{
	execl("/bin/true", "true", (char *)NULL);
}

static void become_shell(void)
{
	execl("/bin/sh", "sh", "-c", "exit 3", (char *)NULL);
}

static void become_nothing(void)
{
	execl("/no/such/program", "program", (char *)NULL);
}

void exercise_processes(void)
{
	in_a_child(become_true);
	in_a_child(become_shell);
	in_a_child(become_nothing);
}

static void wait_for_the_end(void)
{
	alarm(2); /* should a program keep the signal from it */
	for (;;)
		pause();
}

static void kill_child_with(int signal)
{
	pid_t pid = fork_tied();

	if (pid == 0)
		wait_for_the_end();
	if (pid < 0)
		return;
	kill(pid, signal);
	waitpid(pid, NULL, 0);
}

static void ignore_signal(int signal)
{
	(void)signal;
}

static void signal_itself(void)
{
	signal(SIGUSR2, ignore_signal);
	raise(SIGUSR2);
	sigqueue(getpid(), SIGUSR2, (union sigval){ .sival_int = 7 });
	syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR2);
}

void exercise_signals(void)
{
	kill_child_with(SIGTERM);
	kill_child_with(SIGUSR1);
	kill_child_with(SIGKILL);
	in_a_child(signal_itself);
}

#define NOBODY 65534

static void drop_privileges(void)
{
	prctl(PR_SET_NAME, "ebpf-dev-nobody");
	setsid();
	setpriority(PRIO_PROCESS, 0, 5);
	(void)!setgid(NOBODY);
	(void)!setuid(NOBODY);
	(void)!chown("/etc/hostname", 0, 0); /* which it is no longer allowed */
}

static void be_traced(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

void exercise_privileges(void)
{
	in_a_child(drop_privileges);
	in_a_child(be_traced);
}

/* The way of mount(8) since 2023. */
static void mount_by_steps(const char *target)
{
#ifdef SYS_fsopen
	int context = syscall(SYS_fsopen, "tmpfs", 0);
	int mounted;

	syscall(SYS_fsconfig, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0);
	mounted = syscall(SYS_fsmount, context, 0, 0);
	syscall(SYS_move_mount, mounted, "", AT_FDCWD, target, 4 /* MOVE_MOUNT_F_EMPTY_PATH */);
	umount2(target, MNT_DETACH);
#else
	(void)target;
#endif
}

static void mount_privately(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return;
	sethostname("ebpf-dev", 8);
	mkdir("mount", 0755);
	mount("tmpfs", "mount", "tmpfs", 0, "size=64k");
	umount2("mount", MNT_DETACH);
	mount_by_steps("mount");
	rmdir("mount");
}

void exercise_mounts(void)
{
	in_a_child(mount_privately);
}

static void use_heap(void)
{
	jmp_buf place;
	void *memory[] = { malloc(100), calloc(10, 20), realloc(NULL, 300), aligned_alloc(64, 128), NULL };

	if (posix_memalign(&memory[4], 64, 256))
		memory[4] = NULL;
	memory[2] = realloc(memory[2], 200000);
	for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
		free(memory[i]);
	(void)!setjmp(place); /* which has a USDT probe in libc */
}

void exercise_memory(void)
{
	size_t size = 1 << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory != MAP_FAILED) {
		for (size_t at = 0; at < size; at += 16384)
			memory[at] = 1;
		mprotect(memory, size, PROT_READ);
		madvise(memory, size, MADV_DONTNEED);
		memory = mremap(memory, size, size / 2, MREMAP_MAYMOVE);
		munmap(memory, size / 2);
	}
	(void)!sbrk(4096);
	(void)!sbrk(-4096);
	use_heap();
}

void exercise_reclaim(void)
{
	write_file("/proc/sys/vm/drop_caches", "2"); /* not 1: programs would have to be read from the disk again */
}

/* The kernel is asked to choose somebody now, and nobody is more to its taste than this child. */
void exercise_oom(void)
{
	pid_t pid = fork_tied();

	if (pid < 0)
		return;
	if (pid == 0) {
		if (write_file("/proc/self/oom_score_adj", "1000") || write_file("/proc/sysrq-trigger", "f"))
			_exit(1);
		wait_for_the_end();
	}
	waitpid(pid, NULL, 0);
}

static void *hold_lock(void *lock)
{
	struct timespec moment = { 0, 2000000 };

	pthread_mutex_lock(lock);
	nanosleep(&moment, NULL);
	pthread_mutex_unlock(lock);
	return NULL;
}

void exercise_threads(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_t threads[2];
	size_t count = 0;

	while (count < 2 && !pthread_create(&threads[count], NULL, hold_lock, &lock))
		count++;
	sched_yield();
	while (count)
		pthread_join(threads[--count], NULL);
}
