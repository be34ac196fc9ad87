/*
 * The guest-side runner: loads an eBPF object, attaches its programs, and says as JSON lines what they print, send
 * and count (message.h), until its time is over, stdin ends or a signal comes. It never pins anything, and everything
 * it makes in the kernel hangs on its own descriptors and children.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "activity.h"
#include "attach.h"
#include "cgroups.h"
#include "changes.h"
#include "children.h"
#include "companion.h"
#include "events.h"
#include "interrupt.h"
#include "iterators.h"
#include "libbpf_log.h"
#include "load.h"
#include "lsm.h"
#include "maps.h"
#include "message.h"
#include "run.h"
#include "sockmap.h"
#include "struct_ops.h"
#include "syscalls.h"
#include "testbed.h"
#include "trace.h"
#include "trigger.h"
#include "util.h"
#include "work.h"

static const char USAGE[] =
	"Usage: runner --object FILE [options]\n"
	"       runner --companion PROGRAM [--object FILE] [--for SECONDS] [--trigger CMD] [-- ARGUMENTS]\n"
	"Load and attach an eBPF object as root; report as JSON lines on stdout (see message.h).\n"
	"  --for SECONDS   stop after that long; without it on SIGINT, SIGTERM or the end of stdin\n"
	"  --no-stdin      do not watch stdin\n"
	"  --trace         read bpf_printk even when no program seems to call it\n"
	"  --dev IFACE     attach network programs there, not to a veth pair of our own\n"
	"  --cgroup PATH   attach cgroup programs there, not to a cgroup of our own\n"
	"  --attach-to PROG  the loaded program that freplace, fentry or fexit programs extend, by name or id\n"
	"  --prog NAME     only this program (repeatable)\n"
	"  --trigger CMD   shell command to run once all is attached (repeatable); with the veth pair on its peer side\n"
	"  --passive       neither activity in the system nor traffic to provoke the programs; --trigger replaces the former\n"
	"  --bin PATH      the executable or library for probes of user space; also PATH:SYMBOL, PATH:PROVIDER:NAME\n"
	"  --own-binary PATH  the program's own executable, which its probes may mean\n"
	"  --pid PID       probe user space of this process only, sample it only, iterate over it only\n"
	"  --set VAR=VALUE set a global variable before the load (repeatable)\n"
	"  --map NAME KEY=VALUE  put an entry into a map before attaching (repeatable)\n"
	"  --license TEXT  the license of the object, instead of its own\n"
	"  --log-dir DIR   where to write whole verifier logs\n"
	"  --verbose       libbpf's own log to stderr\n";

enum { OPT_OBJECT = 256, OPT_FOR, OPT_NO_STDIN, OPT_TRACE, OPT_DEV, OPT_PROG, OPT_TRIGGER, OPT_LOG_DIR, OPT_VERBOSE,
       OPT_COMPANION, OPT_CGROUP, OPT_ATTACH_TO, OPT_PASSIVE, OPT_BIN, OPT_OWN_BINARY, OPT_PID, OPT_SET, OPT_MAP,
       OPT_LICENSE };

static const struct option OPTIONS[] = {
	{ "object", required_argument, NULL, OPT_OBJECT },
	{ "companion", required_argument, NULL, OPT_COMPANION },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "no-stdin", no_argument, NULL, OPT_NO_STDIN },
	{ "trace", no_argument, NULL, OPT_TRACE },
	{ "dev", required_argument, NULL, OPT_DEV },
	{ "cgroup", required_argument, NULL, OPT_CGROUP },
	{ "attach-to", required_argument, NULL, OPT_ATTACH_TO },
	{ "prog", required_argument, NULL, OPT_PROG },
	{ "trigger", required_argument, NULL, OPT_TRIGGER },
	{ "passive", no_argument, NULL, OPT_PASSIVE },
	{ "bin", required_argument, NULL, OPT_BIN },
	{ "own-binary", required_argument, NULL, OPT_OWN_BINARY },
	{ "pid", required_argument, NULL, OPT_PID },
	{ "set", required_argument, NULL, OPT_SET },
	{ "map", required_argument, NULL, OPT_MAP },
	{ "license", required_argument, NULL, OPT_LICENSE },
	{ "log-dir", required_argument, NULL, OPT_LOG_DIR },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, 'h' },
	{},
};

static void refuse(const char *problem)
{
	fprintf(stderr, "runner: %s\n%s", problem, USAGE);
	exit(EXIT_USAGE);
}

static double parse_seconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !isfinite(seconds) || seconds <= 0)
		refuse("--for takes a number of seconds greater than 0");
	return seconds;
}

static int parse_pid(const char *text)
{
	char *end;
	long pid = strtol(text, &end, 10);

	if (end == text || *end || pid <= 0 || pid > INT_MAX)
		refuse("--pid takes the number of a process");
	return pid;
}

/* --map has two words; the second is the one that getopt would look at next. */
static void take_map_entry(struct options *options, char **argv)
{
	if (!argv[optind])
		refuse("--map takes a map's name and KEY=VALUE");
	options->entries[options->entry_count].map = optarg;
	options->entries[options->entry_count++].entry = argv[optind++];
}

static void take_option(struct options *options, int option, char **argv)
{
	switch (option) {
	case OPT_OBJECT:
		options->object = optarg;
		break;
	case OPT_COMPANION:
		options->companion = optarg;
		break;
	case OPT_FOR:
		options->seconds = parse_seconds(optarg);
		break;
	case OPT_NO_STDIN:
		options->use_stdin = false;
		break;
	case OPT_TRACE:
		options->trace = true;
		break;
	case OPT_DEV:
		options->device = optarg;
		break;
	case OPT_CGROUP:
		options->cgroup = optarg;
		break;
	case OPT_ATTACH_TO:
		options->attach_to = optarg;
		break;
	case OPT_PROG:
		options->programs[options->program_count++] = optarg;
		break;
	case OPT_TRIGGER:
		options->triggers[options->trigger_count++] = optarg;
		break;
	case OPT_PASSIVE:
		options->passive = true;
		break;
	case OPT_BIN:
		options->bin = optarg;
		break;
	case OPT_OWN_BINARY:
		options->own_binary = optarg;
		break;
	case OPT_PID:
		options->pid = parse_pid(optarg);
		break;
	case OPT_SET:
		options->settings[options->setting_count++] = optarg;
		break;
	case OPT_MAP:
		take_map_entry(options, argv);
		break;
	case OPT_LICENSE:
		options->license = optarg;
		break;
	case OPT_LOG_DIR:
		options->log_dir = optarg;
		break;
	case OPT_VERBOSE:
		options->verbose = true;
		break;
	case 'h':
		fputs(USAGE, stdout);
		exit(EXIT_OK);
	default:
		refuse("unknown option");
	}
}

static struct options parse_options(int argc, char **argv)
{
	struct options options = { .use_stdin = true };
	int option;

	options.programs = calloc(argc, sizeof(char *));
	options.triggers = calloc(argc, sizeof(char *));
	options.settings = calloc(argc, sizeof(char *));
	options.entries = calloc(argc, sizeof(*options.entries));
	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1)
		take_option(&options, option, argv);
	if (!options.object && !options.companion)
		refuse("--object or --companion is needed");
	if (!options.companion && optind < argc)
		refuse("--object takes nothing but options");
	if (options.companion)
		/* The element before the rest is an option's; ours goes there, where argv[0] belongs. */
		options.companion_argv = &argv[optind - 1];
	return options;
}

/* From here on signals are read in the main loop. Before, during the load, see interrupt.h. */
static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Returns true when one of them asks us to end. */
static bool read_signals(int fd)
{
	struct signalfd_siginfo info;
	bool end = false;

	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			triggers_reap();
			companion_reap();
		} else
			end = true;
	}
	return end;
}

static bool stdin_ended(void)
{
	char ignored[256];
	ssize_t n = read(STDIN_FILENO, ignored, sizeof(ignored));

	return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

static int smaller_wait(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

#define MAX_WAIT_SECONDS 3600

static int wait_ms(double deadline)
{
	double left = deadline - seconds_now();

	if (left > MAX_WAIT_SECONDS) /* also INFINITY */
		left = MAX_WAIT_SECONDS;
	return smaller_wait(smaller_wait(messages_due_ms(), changes_due_ms()), left > 0 ? (int)(left * 1000) + 1 : 0);
}

enum { FD_SIGNALS, FD_STDIN, FD_TRACE, FD_STDOUT, FD_OTHERS, FD_LIMIT = 64 };

static size_t gather(struct pollfd *fds, const struct options *options, int signals)
{
	int others[FD_LIMIT - FD_OTHERS];
	size_t count = events_descriptors(others, FD_LIMIT - FD_OTHERS);

	/* Those that are not read have to wait; programs in the kernel never do. */
	if (!messages_full()) {
		count += triggers_descriptors(others + count, FD_LIMIT - FD_OTHERS - count);
		count += companion_descriptors(others + count, FD_LIMIT - FD_OTHERS - count);
	}
	fds[FD_SIGNALS] = (struct pollfd){ signals, POLLIN, 0 };
	fds[FD_STDIN] = (struct pollfd){ options->use_stdin ? STDIN_FILENO : -1, POLLIN, 0 };
	fds[FD_TRACE] = (struct pollfd){ trace_descriptor(), POLLIN, 0 };
	fds[FD_STDOUT] = (struct pollfd){ messages_stuck() ? STDOUT_FILENO : -1, POLLOUT, 0 };
	for (size_t i = 0; i < count; i++)
		fds[FD_OTHERS + i] = (struct pollfd){ others[i], POLLIN, 0 };
	return FD_OTHERS + count;
}

/* Returns whether there may be more. */
static bool read_programs(void)
{
	bool lines = trace_read();
	bool records = events_consume();

	return lines || records;
}

static void read_programs_until(double deadline)
{
	while (read_programs() && seconds_now() < deadline)
		messages_flush();
}

#define MAX_REST_SECONDS 3
#define MAX_COUNT_SECONDS 10 /* the trace that all share has no end */

/* Once no program runs any more. On a slow processor it may be more than one has the patience for: then it is counted. */
static void read_the_rest(void)
{
	double deadline = seconds_now() + MAX_REST_SECONDS;

	read_programs_until(deadline);
	messages_close(true);
	read_programs_until(deadline + MAX_COUNT_SECONDS);
	messages_close(false);
	read_programs(); /* says how many they were */
}

static void read_everything(void)
{
	read_programs();
	if (messages_full())
		return;
	triggers_read();
	companion_read();
}

/* Returns the reason to stop. */
static const char *watch(const struct options *options, int signals)
{
	double deadline = options->seconds ? seconds_now() + options->seconds : INFINITY;
	struct pollfd fds[FD_LIMIT];

	while (seconds_now() < deadline) {
		size_t count = gather(fds, options, signals);
		int ready = poll(fds, count, wait_ms(deadline));

		if (ready > 0 && fds[FD_SIGNALS].revents && read_signals(signals))
			return "signal";
		if (ready > 0 && fds[FD_STDIN].revents && stdin_ended())
			return "stdin";
		if (ready > 0 && fds[FD_STDOUT].revents)
			messages_flush();
		if (ready > 0)
			read_everything();
		if (options->companion && companion_ended())
			return "finished";
		if (changes_due_ms() == 0)
			changes_say();
		if (messages_due_ms() == 0)
			messages_flush();
		if (messages_broken())
			return "stdin";
	}
	return "time";
}

/* Those that run when we want it, and then have run. */
static bool runs_once(const struct program *program)
{
	return is_iterator(program) || is_syscall(program);
}

static bool all_run_once(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_ATTACHED && !runs_once(&run->programs[i]))
			return false;
	return !struct_ops_count_bare();
}

static int find_device(struct run *run)
{
	char brief[200];

	if (!needs_device(run))
		return EXIT_OK;
	if (!run->options.device)
		run->testbed = testbed_create(wants_netkit(run));
	else if (!if_nametoindex(run->options.device)) {
		snprintf(brief, sizeof(brief), "there is no network device %s", run->options.device);
		message_error(&(struct error_report){ .code = "attach-failed",
						      .brief = brief,
						      .hint = "`ip link` in the guest lists them." });
		return EXIT_ATTACH;
	}
	if (run->options.device || run->testbed)
		run->device_index = if_nametoindex(run->options.device ? run->options.device : TESTBED_DEVICE);
	return EXIT_OK;
}

static int attach_stage(struct run *run)
{
	double start = seconds_now();
	int status;

	if (run->options.trace || object_prints(run))
		trace_open();
	events_open(run);
	run->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	status = find_device(run);
	if (!status)
		status = attach_programs(run);
	message_stage("attach", status == EXIT_OK, seconds_now() - start);
	messages_flush();
	return status;
}

static void set_in_motion(struct run *run)
{
	int namespace = -1;

	iterators_read(run, false);
	syscalls_call(run);
	work_start(run);
	if (run->testbed)
		namespace = testbed_peer_namespace(run->testbed);
	if (run->testbed && !run->options.passive)
		testbed_start_traffic(run->testbed);
	if (!run->options.passive)
		sockmap_start_traffic(run);
	triggers_start(run->options.triggers, run->options.trigger_count, namespace);
	activity_start_for(run);
}

static void say_results(struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].state == PROGRAM_ATTACHED)
			say_program(&run->programs[i], true);
	maps_dump(run);
}

/* Returns the reason why it ended. */
static const char *run_stage(struct run *run, int signals)
{
	double start = seconds_now();
	const char *reason = "finished";

	if (!bpf_is_judged(run))
		changes_start(run);
	set_in_motion(run);
	if (!all_run_once(run) || run->options.trigger_count)
		reason = watch(&run->options, signals);
	iterators_read(run, true);
	struct_ops_look();
	triggers_stop();
	activity_stop();
	changes_stop();
	detach_programs(run);
	await_bpf(run);
	read_the_rest();
	message_stage("run", true, seconds_now() - start);
	say_results(run);
	return reason;
}

static void clean_up(struct run *run)
{
	detach_programs(run);
	testbed_destroy(run->testbed);
	cgroups_remove();
	children_kill_all();
	trace_close(); /* after the children, whose copies of its descriptor would keep it busy */
	events_close();
	if (run->stats_fd >= 0)
		close(run->stats_fd);
	unload_object(run);
}

static int load_stage(struct run *run)
{
	double start = seconds_now();
	int status;

	interrupt_allow(run->options.use_stdin);
	status = load_object(run);
	interrupt_forbid();
	if (status)
		for (size_t i = 0; i < run->program_count; i++)
			say_program(&run->programs[i], false);
	message_stage("load", status == EXIT_OK, seconds_now() - start);
	messages_flush();
	return status;
}

/* Until it says its first line; one that says nothing gets its triggers nevertheless. */
static void await_companion(void)
{
	struct pollfd fds[2];
	int others[2];
	size_t count = companion_descriptors(others, 2);

	for (size_t i = 0; i < count; i++)
		fds[i] = (struct pollfd){ others[i], POLLIN, 0 };
	poll(fds, count, 3000);
}

/* The program brings its own loader: run that, and do the rest as always. Returns its exit status. */
static int run_companion(const struct options *options, const char **reason)
{
	double start = seconds_now();
	int signals = catch_signals();
	int error;

	trace_open();
	options->companion_argv[0] = (char *)options->companion;
	error = companion_start(options->companion_argv);
	if (error) {
		message_error(&(struct error_report){ .code = "runner-failed",
						      .brief = "the companion program cannot be started",
						      .details = strerror(-error) });
		return EXIT_INTERNAL;
	}
	await_companion();
	triggers_start(options->triggers, options->trigger_count, -1);
	activity_start_beside(options);
	work_start_beside(options);
	*reason = watch(options, signals);
	companion_stop();
	triggers_stop();
	activity_stop();
	trace_read();
	message_stage("run", companion_status() == 0, seconds_now() - start);
	children_kill_all();
	trace_close(); /* after the children, as above */
	return companion_status();
}

static void say_done(int status, const char *reason)
{
	struct json *json = message_begin("done");

	json_put_unsigned(json, "status", status);
	json_put_string(json, "reason", reason);
	message_end();
	messages_flush_all();
}

int main(int argc, char **argv)
{
	struct run run = { .options = parse_options(argc, argv), .stats_fd = -1 };
	const char *reason = "error";
	int status, signals;

	signal(SIGPIPE, SIG_IGN); /* a reader that has gone must not keep us from cleaning up */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (run.options.companion) {
		status = run_companion(&run.options, &reason);
		say_done(status, reason);
		return status;
	}
	libbpf_log_start(run.options.verbose);
	status = load_stage(&run);
	if (!status) {
		signals = catch_signals();
		status = attach_stage(&run);
		if (count_attached(&run))
			reason = run_stage(&run, signals);
	}
	clean_up(&run);
	say_done(status, reason);
	return status;
}
