/* What every part of the runner shares: the options, the object and the state of its programs. */
#ifndef RUNNER_RUN_H
#define RUNNER_RUN_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stddef.h>

/* True when the headers we build against are of at least this libbpf release. */
#define HAVE_LIBBPF(major, minor) \
	(LIBBPF_MAJOR_VERSION > (major) || (LIBBPF_MAJOR_VERSION == (major) && LIBBPF_MINOR_VERSION >= (minor)))

/* Exit statuses; those of load and attach are those of the tool itself. */
enum { EXIT_OK = 0, EXIT_INTERNAL = 1, EXIT_USAGE = 2, EXIT_LOAD = 7, EXIT_ATTACH = 8, EXIT_INTERRUPTED = 130 };

struct options {
	const char *object;
	const char *companion;	/* the program's own user space, which loads the object itself */
	char **companion_argv;	/* for execv; the first element is a place for its name */
	double patience;	/* seconds to wait for the companion's programs; 0: for its first line only */
	const char **hooks;	/* of the companion's programs, when there is no object */
	size_t hook_count;
	const struct foreign_loader *loader; /* loads instead of us, or NULL */
	double seconds;		/* 0: until told to stop */
	bool trace;		/* read the trace even when no program calls bpf_printk */
	bool hold;		/* between load and attach, until a line on stdin lets us go on */
	bool use_stdin;		/* the end of stdin asks us to stop */
	bool verbose;		/* libbpf's own debug lines to stderr */
	const char *device;	/* NULL: the testbed's */
	const char *cgroup;	/* NULL: one of our own, with a workload in it */
	const char *attach_to;	/* where programs go whose sections leave it open: a function, a tracepoint, or
				 * for freplace and the like a program, by name or id; or NULL */
	const char *log_dir;
	const char *license;	/* instead of the object's own, or NULL */
	const char **settings;	/* VARIABLE=VALUE */
	size_t setting_count;
	struct {
		const char *map;
		const char *entry; /* KEY=VALUE */
	} *entries;
	size_t entry_count;
	const char **programs;	/* only these; none given: all */
	size_t program_count;
	const char **triggers;
	size_t trigger_count;
	bool passive;		/* neither activity nor traffic of our own */
	const char *bin;	/* PATH or PATH:SYMBOL for probes of user space */
	const char *own_binary;	/* the program's own executable, for probes of it */
	int pid;		/* only this process is probed and sampled; 0: all */
};

enum program_state { PROGRAM_PENDING, PROGRAM_ATTACHED, PROGRAM_SKIPPED, PROGRAM_FAILED };

struct program {
	struct bpf_program *bpf;
	int foreign_fd;		/* the same program when another loader loaded it, or -1 */
	const char *name;
	const char *section;
	enum bpf_prog_type type;	/* as loaded */
	enum program_state state;
	bool is_wanted;		/* not left out by --prog */
	bool absent;		/* its target is not in this kernel: the others may do without it */
	bool retargeted;	/* goes to target, which its section does not name */
	bool extends;		/* its target is another BPF program */
	int target_fd;		/* that program, while loading */
	char target[160];
	char reason[320];
	struct program *twin;	/* on the same hook, for which this one was left out */
	char *log;		/* the verifier's words when it refused the program */
	struct bpf_link *link;
	int link_fd;		/* a link made without libbpf, or -1 */
	int verdicts_fd;	/* map of return values counted so far, or -1 */
	int verdicts_link_fd;
};

struct run {
	struct options options;
	struct bpf_object *object;
	struct bpf_object *extensions;	/* a second copy, for programs that extend those of the first */
	struct program *programs;
	size_t program_count;
	struct testbed *testbed;	/* NULL when no program needs one */
	int device_index;		/* where network programs attach */
	int stats_fd;			/* keeps the kernel counting runs */
};

int loaded_fd(const struct program *program); /* of the loaded program, whoever loaded it; negative when it is not */

/* Where program messages get their words from. */
void program_set(struct program *program, enum program_state state, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool section_under(const char *section, const char *prefix); /* "xdp" and "xdp/..", "xdp.frags", not "xdpx" */

#endif
