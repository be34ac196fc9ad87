#include "options.h"

#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "load/foreign.h"

static const char USAGE[] =
	"Usage: runner --object FILE [options]\n"
	"       runner --object FILE --loader bpftool|xdp-loader [options]\n"
	"       runner --companion PROGRAM [--object FILE] [--for SECONDS] [--trigger CMD] [-- ARGUMENTS]\n"
	"Load and attach an eBPF object as root; report as JSON lines on stdout (see message.h).\n"
	"  --loader NAME   let this one load and attach, and show what its programs do\n"
	"  --patience SECONDS  wait so long for the companion to load programs, and not only for its first line\n"
	"  --hook TEXT     what the companion's programs hook, when no object says it (repeatable)\n"
	"  --for SECONDS   stop after that long; without it on SIGINT, SIGTERM or the end of stdin\n"
	"  --hold          load, then attach only when a line comes on stdin; end when that ends\n"
	"  --no-stdin      do not watch stdin\n"
	"  --trace         read bpf_printk even when no program seems to call it\n"
	"  --dev IFACE     attach network programs there, not to a veth pair of our own\n"
	"  --cgroup PATH   attach cgroup programs there, not to a cgroup of our own\n"
	"  --attach-to NAME  the function or tracepoint for programs whose sections name none that is there, or the\n"
	"                    loaded program that freplace, fentry or fexit programs extend, by name or id\n"
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

enum { OPT_OBJECT = 256, OPT_FOR, OPT_HOLD, OPT_NO_STDIN, OPT_TRACE, OPT_DEV, OPT_PROG, OPT_TRIGGER, OPT_LOG_DIR, OPT_VERBOSE,
       OPT_COMPANION, OPT_CGROUP, OPT_ATTACH_TO, OPT_PASSIVE, OPT_BIN, OPT_OWN_BINARY, OPT_PID, OPT_SET, OPT_MAP,
       OPT_LICENSE, OPT_LOADER, OPT_PATIENCE, OPT_HOOK };

static const struct option OPTIONS[] = {
	{ "object", required_argument, NULL, OPT_OBJECT },
	{ "companion", required_argument, NULL, OPT_COMPANION },
	{ "loader", required_argument, NULL, OPT_LOADER },
	{ "patience", required_argument, NULL, OPT_PATIENCE },
	{ "hook", required_argument, NULL, OPT_HOOK },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "hold", no_argument, NULL, OPT_HOLD },
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

static void refuse_value(const char *option, const char *wanted)
{
	char problem[128];

	snprintf(problem, sizeof(problem), "%s takes %s", option, wanted);
	refuse(problem);
}

static double parse_seconds(const char *option, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !isfinite(seconds) || seconds <= 0)
		refuse_value(option, "a number of seconds greater than 0");
	return seconds;
}

static int parse_pid(const char *text)
{
	char *end;
	long pid = strtol(text, &end, 10);

	if (end == text || *end || pid <= 0 || pid > INT_MAX)
		refuse_value("--pid", "the number of a process");
	return pid;
}

/* --map has two words; the second is the one that getopt would look at next. */
static void take_map_entry(struct options *options, char **argv)
{
	if (!argv[optind])
		refuse_value("--map", "a map's name and KEY=VALUE");
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
		options->seconds = parse_seconds("--for", optarg);
		break;
	case OPT_LOADER:
		options->loader = foreign_loader(optarg);
		if (!options->loader)
			refuse_value("--loader", "bpftool or xdp-loader");
		break;
	case OPT_PATIENCE:
		options->patience = parse_seconds("--patience", optarg);
		break;
	case OPT_HOOK:
		options->hooks[options->hook_count++] = optarg;
		break;
	case OPT_HOLD:
		options->hold = true;
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

struct options parse_options(int argc, char **argv)
{
	struct options options = { .use_stdin = true };
	int option;

	options.programs = calloc(argc, sizeof(char *));
	options.triggers = calloc(argc, sizeof(char *));
	options.settings = calloc(argc, sizeof(char *));
	options.hooks = calloc(argc, sizeof(char *));
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
