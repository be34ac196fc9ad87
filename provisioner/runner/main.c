/*
 * The guest-side runner: loads an eBPF object, attaches its programs, and says as JSON lines what they print, send
 * and count (message.h), until its time is over, stdin ends or a signal comes. It never pins anything, and everything
 * it makes in the kernel hangs on its own descriptors and children.
 */
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/cgroups.h"
#include "attach/iterators.h"
#include "attach/lsm.h"
#include "attach/sockmap.h"
#include "attach/struct_ops.h"
#include "attach/syscalls.h"
#include "children.h"
#include "companion.h"
#include "load/foreign.h"
#include "load/instructions.h"
#include "load/interrupt.h"
#include "load/libbpf_log.h"
#include "load/load.h"
#include "message.h"
#include "options.h"
#include "run.h"
#include "show/changes.h"
#include "show/events.h"
#include "show/maps.h"
#include "show/trace.h"
#include "testbed/activity.h"
#include "testbed/testbed.h"
#include "testbed/trigger.h"
#include "testbed/work.h"
#include "util.h"
#include "watch.h"

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

	if (run->options.trace || programs_call(run, BPF_FUNC_trace_printk) ||
	    programs_call(run, BPF_FUNC_trace_vprintk))
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
	events_say_losses();
	message_stage("run", true, seconds_now() - start);
	say_results(run);
	return reason;
}

static void clean_up(struct run *run)
{
	detach_programs(run);
	activity_stop();
	testbed_destroy(run->testbed);
	cgroups_remove();
	children_kill_all();
	trace_close(); /* after the children, whose copies of its descriptor would keep it busy */
	events_close();
	if (run->stats_fd >= 0)
		close(run->stats_fd);
	unload_object(run);
}

static void say_programs(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		say_program(&run->programs[i], false);
}

static int load_stage(struct run *run)
{
	double start = seconds_now();
	int status;

	interrupt_allow(run->options.use_stdin);
	status = load_object(run);
	interrupt_forbid();
	if (status)
		say_programs(run);
	message_stage("load", status == EXIT_OK, seconds_now() - start);
	messages_flush();
	return status;
}

/* bpftool or xdp-loader does both; our own copy of the object says what things are called and what they hold. */
static int foreign_stages(struct run *run, int signals)
{
	double start = seconds_now();
	int status = open_for_foreign(run);

	if (!status) {
		trace_open();
		run->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
		status = find_device(run);
	}
	if (!status)
		status = foreign_load(run, signals);
	message_stage("load", status == EXIT_OK, seconds_now() - start);
	start = seconds_now();
	if (status) {
		say_programs(run);
	} else {
		events_open(run);
		status = attach_foreign(run);
		message_stage("attach", status == EXIT_OK, seconds_now() - start);
	}
	messages_flush();
	return status;
}

/* Returns the reason why it ended. */
static const char *go_on(struct run *run, int *status)
{
	int signals;

	if (run->options.hold && !wait_for_line())
		return "stdin";
	signals = catch_signals();
	*status = run->options.loader ? foreign_stages(run, signals) : attach_stage(run);
	return count_attached(run) ? run_stage(run, signals) : "error";
}

/* The program brings its own loader: run that, and do the rest as always. Returns its exit status. */
static int run_companion(const struct options *options, const char **reason)
{
	double start = seconds_now();
	int signals = catch_signals();
	int error;

	trace_open();
	cgroups_make();
	options->companion_argv[0] = (char *)options->companion;
	error = companion_start(options->companion_argv);
	if (error) {
		message_error(&(struct error_report){ .code = "runner-failed",
						      .brief = "the companion program cannot be started",
						      .details = strerror(-error) });
		return EXIT_INTERNAL;
	}
	if (companion_await(options, signals)) {
		*reason = "signal";
	} else if (companion_ended()) {
		*reason = "finished";
	} else {
		triggers_start(options->triggers, options->trigger_count, -1);
		activity_start_beside(options);
		work_start_beside(options);
		*reason = watch(options, signals);
	}
	companion_stop(options);
	triggers_stop();
	activity_stop();
	read_the_rest();
	message_stage("run", companion_status() == 0, seconds_now() - start);
	cgroups_remove();
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
	int status;

	signal(SIGPIPE, SIG_IGN); /* a reader that has gone must not keep us from cleaning up */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (run.options.companion) {
		status = run_companion(&run.options, &reason);
		say_done(status, reason);
		return status;
	}
	libbpf_log_start(run.options.verbose);
	status = run.options.loader ? EXIT_OK : load_stage(&run);
	if (!status)
		reason = go_on(&run, &status);
	clean_up(&run);
	say_done(status, reason);
	return status;
}
