#include "testbed/activity.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach/iterators.h"
#include "message.h"
#include "testbed/exercises.h"
#include "util.h"

#define PAUSE_MILLISECONDS 500
#define ROUND_MILLISECONDS 10000 /* after that its program is thought to hang */
#define SCRATCH "/var/tmp/ebpf-dev-XXXXXX" /* not /tmp, which is often memory: disks are watched too */

/*
 * To have something else exercised, write its function and put a line here. What programs ask for comes first, as
 * a round is long on an emulated processor.
 */
static const struct activity {
	const char *name;		/* in the note for the user; none: not worth a word there */
	void (*exercise)(void);
	unsigned int every;		/* so many rounds */
	const char *asked_by[4];	/* words in a hook; none: always exercised */
} ACTIVITIES[] = {
	{ "bpf()", exercise_bpf, 1, { "lsm/bpf", "lsm.s/bpf", "bpf_prog", "bpf_map" } },
	{ "a line typed into bash", exercise_shell_line, 4, { "readline", "bash", "tty_", "pty_" } },
	{ "TLS", exercise_tls, 8, { "SSL_", "libssl", "libcrypto" } },
	{ "Python", exercise_python, 8, { "python" } },
	{ "reclaim of memory", exercise_reclaim, 4, { "shrink", "vmscan", "reclaim" } },
	{ "an out-of-memory kill", exercise_oom, 4, { "oom", "mark_victim" } },
	{ "retransmission", exercise_retransmission, 2, { "retrans", "loss_probe", "syn_recv", "backlog" } },
	{ "files", exercise_files, 1, {} },
	{ "processes", exercise_processes, 1, {} },
	{ "signals", exercise_signals, 1, {} },
	{ "names", exercise_names, 1, {} },
	{ "sockets", exercise_sockets, 1, {} },
	{ NULL, exercise_memory, 1, {} },
	{ NULL, exercise_threads, 1, {} },
	{ NULL, exercise_privileges, 1, {} },
	{ NULL, exercise_mounts, 1, {} },
	{ NULL, exercise_disk, 2, {} },
};

#define ACTIVITY_COUNT (sizeof(ACTIVITIES) / sizeof(ACTIVITIES[0]))
#define MAX_CALLS 32

/* What this run exercises. */
static struct choice {
	bool activities[ACTIVITY_COUNT];
	char calls[MAX_CALLS][64];	/* system calls that hooks name */
	size_t call_count;
} choice;
static pid_t keeper;

static bool asks_for(const struct activity *activity, const char *hook)
{
	for (size_t i = 0; i < sizeof(activity->asked_by) / sizeof(activity->asked_by[0]); i++)
		if (activity->asked_by[i] && strstr(hook, activity->asked_by[i]))
			return true;
	return !activity->asked_by[0];
}

/* The system call that a hook is at: "...sys_enter_NAME", "..._sys_NAME", "ksyscall/NAME". */
static const char *find_call(const char *hook)
{
	static const char *const marks[] = { "sys_enter_", "sys_exit_", "ksyscall/", "kretsyscall/", "sys_" };

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const char *mark = strstr(hook, marks[i]);

		if (mark)
			return mark + strlen(marks[i]);
	}
	return NULL;
}

static void choose_call(const char *hook)
{
	const char *name = find_call(hook);

	if (name && *name && choice.call_count < MAX_CALLS)
		snprintf(choice.calls[choice.call_count++], sizeof(choice.calls[0]), "%.*s",
			 (int)strcspn(name, "/+: "), name);
}

static void choose_for_hook(const char *hook)
{
	for (size_t i = 0; i < ACTIVITY_COUNT; i++)
		choice.activities[i] |= asks_for(&ACTIVITIES[i], hook);
	choose_call(hook);
}

/* Programs that see what goes on in the system; others get packets or are called on purpose. */
static bool watches_system(enum bpf_prog_type type, const char *section)
{
	switch (type) {
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
		return true;
	case BPF_PROG_TYPE_LSM:
		return !section_under(section, "lsm_cgroup"); /* sees one cgroup, where work.h works */
	case BPF_PROG_TYPE_TRACING:
		return !section_under(section, "iter");
	default:
		return false;
	}
}

static void choose_for_program(const struct program *program)
{
	char hook[600];

	if (program->state != PROGRAM_ATTACHED || !watches_system(program->type, program->section))
		return;
	snprintf(hook, sizeof(hook), "%s %s", program->section, program->target);
	choose_for_hook(hook);
}

/* A companion rewrites targets, so all programs of the object count; names say what their sections do not. */
static void choose_for_object(const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	char hook[600];

	if (!object)
		return;
	bpf_object__for_each_program(program, object) {
		const char *section = bpf_program__section_name(program);

		if (!watches_system(bpf_program__type(program), section))
			continue;
		snprintf(hook, sizeof(hook), "%s %s", section, bpf_program__name(program));
		choose_for_hook(hook);
	}
	bpf_object__close(object);
}

static bool is_anything_chosen(void)
{
	for (size_t i = 0; i < ACTIVITY_COUNT; i++)
		if (choice.activities[i])
			return true;
	return false;
}

static void say_choice(void)
{
	struct text names = {};

	for (size_t i = 0; i < ACTIVITY_COUNT; i++) {
		if (!choice.activities[i] || !ACTIVITIES[i].name)
			continue;
		if (names.size)
			text_append(&names, ", ", 2);
		text_append(&names, ACTIVITIES[i].name, strlen(ACTIVITIES[i].name));
	}
	message_log("note", "exercising %s; --trigger CMD replaces it", names.data);
	text_free(&names);
}

static void live_a_round(unsigned int round)
{
	for (size_t i = 0; i < choice.call_count; i++)
		exercise_call(choice.calls[i]);
	for (size_t i = 0; i < ACTIVITY_COUNT; i++)
		if (choice.activities[i] && round % ACTIVITIES[i].every == 0)
			ACTIVITIES[i].exercise();
}

/* Waits for a signal of the set, at most so long; returns its number or -1. */
static int await_signal(const sigset_t *set, int milliseconds)
{
	struct timespec limit = { milliseconds / 1000, milliseconds % 1000 * 1000000L };

	return sigtimedwait(set, NULL, &limit);
}

/* Returns true when it is time to end. */
static bool keep_a_round(unsigned int round, const sigset_t *signals)
{
	pid_t pid = fork_tied();
	int signal;

	if (pid == 0) {
		live_a_round(round);
		_exit(0);
	}
	signal = await_signal(signals, ROUND_MILLISECONDS);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return signal > 0 && signal != SIGCHLD;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status, (void)kind, (void)place;
	remove(path);
	return 0;
}

/* Nothing of ours may be held open by it, nor may it write where messages go. */
static void let_go_of_descriptors(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
}

static void keep_rounds_going(void)
{
	char scratch[] = SCRATCH;
	sigset_t signals, pause;

	sigemptyset(&pause);
	sigaddset(&pause, SIGTERM);
	sigaddset(&pause, SIGINT);
	sigaddset(&pause, SIGHUP);
	signals = pause;
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* not SIGKILL: there is something to remove */
	let_go_of_descriptors();
	if (!mkdtemp(scratch) || chdir(scratch))
		_exit(1);
	for (unsigned int round = 0; !keep_a_round(round, &signals); round++) {
		/* Rounds that ended after their limit leave their signal behind. */
		if (await_signal(&pause, PAUSE_MILLISECONDS) > 0)
			break;
	}
	nftw(scratch, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	_exit(0);
}

static void start_keeper(void)
{
	if (!is_anything_chosen())
		return;
	say_choice();
	keeper = fork_tied();
	if (keeper == 0)
		keep_rounds_going();
}

static bool is_wanted(const struct options *options)
{
	return !options->passive && !options->trigger_count;
}

void activity_start_for(const struct run *run)
{
	if (!is_wanted(&run->options))
		return;
	for (size_t i = 0; i < run->program_count; i++)
		choose_for_program(&run->programs[i]);
	start_keeper();
}

void activity_start_beside(const struct options *options)
{
	if (!is_wanted(options))
		return;
	if (options->object)
		choose_for_object(options->object);
	for (size_t i = 0; i < options->hook_count; i++)
		choose_for_hook(options->hooks[i]);
	start_keeper();
}

void activity_stop(void)
{
	if (keeper <= 0 || kill(keeper, SIGTERM))
		return;
	waitpid(keeper, NULL, 0);
	keeper = 0;
}
