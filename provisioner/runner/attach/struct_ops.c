#include "attach/struct_ops.h"

#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load/libbpf_log.h"
#include "message.h"
#include "show/btf_json.h"
#include "system/kernel_btf.h"
#include "testbed/loopback.h"
#include "testbed/testbed.h"
#include "util.h"

#define MAX_OPS 16
#define TYPE_BYTES 64
#define USE_ROUND_MICROSECONDS 1000000
#define USE_PORT 80

/* What the kernel's BTF calls the value of a struct_ops map; it is there when such a map can be made. */
#define VALUE_PREFIX "bpf_struct_ops_"

/* What to say when the kernel has none of it, and what its name is kept in. */
static const struct known_ops {
	const char *type;
	const char *what;
	const char *since; /* Linux release */
	const char *config;
	const char *name_member;
	bool in_backports; /* a distribution's newer kernel is likely to have it */
} KNOWN_OPS[] = {
	{ "sched_ext_ops", "sched_ext", "6.12", "CONFIG_SCHED_CLASS_EXT", "name", true },
	{ "Qdisc_ops", "a queueing discipline in BPF", "6.16", "CONFIG_NET_SCH_BPF", "id", true },
	{ "hid_bpf_ops", "HID-BPF as struct_ops", "6.11", "CONFIG_HID_BPF", NULL, false },
	{ "tcp_congestion_ops", "TCP congestion control in BPF", "5.6", "CONFIG_BPF_JIT", "name", false },
};

static struct ops {
	struct bpf_map *map;
	char type[TYPE_BYTES];	/* "tcp_congestion_ops" */
	char name[64];		/* by which the kernel knows it, or "" */
	struct bpf_link *link;
	bool tried;
	int error;
} ops_list[MAX_OPS];
static size_t ops_count;
static size_t bare_count;

static bool is_struct_ops(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS;
}

/* A struct_ops map is a variable of the struct that the kernel has; what follows "___" in its name is the author's. */
static void find_ops_type(const struct run *run, const char *variable, char name[TYPE_BYTES])
{
	const struct btf *btf = bpf_object__btf(run->object);
	int id = btf ? btf__find_by_name_kind(btf, variable, BTF_KIND_VAR) : -1;
	const struct btf_type *type = id < 0 ? NULL : btf_resolve(btf, btf__type_by_id(btf, id)->type);
	char *flavour;

	snprintf(name, TYPE_BYTES, "%s", type ? btf__name_by_offset(btf, type->name_off) : "");
	flavour = strstr(name, "___");
	if (flavour)
		*flavour = '\0';
}

static const struct known_ops *find_known(const char *type)
{
	for (size_t i = 0; i < sizeof(KNOWN_OPS) / sizeof(KNOWN_OPS[0]); i++)
		if (!strcmp(KNOWN_OPS[i].type, type))
			return &KNOWN_OPS[i];
	return NULL;
}

static bool kernel_takes(const char *type)
{
	char value[128];

	snprintf(value, sizeof(value), VALUE_PREFIX "%s", type);
	return kernel_has(value, BTF_KIND_STRUCT);
}

static bool is_older(const char *release, const char *than)
{
	int major = 0, minor = 0, than_major = 0, than_minor = 0;

	sscanf(release, "%d.%d", &major, &minor);
	sscanf(than, "%d.%d", &than_major, &than_minor);
	return major != than_major ? major < than_major : minor < than_minor;
}

static void say_kernel_lacks(const char *type)
{
	const struct known_ops *known = find_known(type);
	char brief[300], details[300] = "Neither the kernel nor a loaded module registers a struct of that name.";
	char hint[200] = "Is it of a kernel module? Load that first.";
	struct utsname system;

	uname(&system);
	snprintf(brief, sizeof(brief), "this kernel (%s) has no struct_ops %s", system.release, type);
	if (known) {
		snprintf(details, sizeof(details), is_older(system.release, known->since) ?
				 "Linux has it since %s (%s)." : "Linux has it since %s, but this one was built without %s.",
			 known->since, known->config);
		snprintf(hint, sizeof(hint), "%s needs a kernel >= %s with %s.%s", known->what, known->since,
			 known->config, known->in_backports ? " `ebpf-dev up NAME --kernel backports` makes an instance "
							      "with a newer kernel." : "");
	}
	message_error(&(struct error_report){ .code = "kernel-lacks", .brief = brief, .details = details, .hint = hint });
}

int struct_ops_check(const struct run *run)
{
	char type[TYPE_BYTES];
	struct bpf_map *map;

	bpf_object__for_each_map(map, run->object) {
		if (!is_struct_ops(map))
			continue;
		find_ops_type(run, bpf_map__name(map), type);
		if (*type && kernel_btf() && !kernel_takes(type)) {
			say_kernel_lacks(type);
			return EXIT_LOAD;
		}
	}
	return EXIT_OK;
}

/* With a link (Linux 6.4) what it registers goes away with us, even when we are killed. */
void struct_ops_prepare_map(struct bpf_map *map)
{
#if HAVE_LIBBPF(1, 2)
	if (is_struct_ops(map) && kernel_btf() &&
	    btf__find_by_name_kind(kernel_btf(), "bpf_struct_ops_link", BTF_KIND_STRUCT) > 0)
		bpf_map__set_map_flags(map, bpf_map__map_flags(map) | BPF_F_LINK);
#else
	(void)map;
#endif
}

/* libbpf leaves out members that are zero; of another it says "init_kern NAME: Cannot find member MEMBER in ...". */
bool struct_ops_explain(const struct run *run, const char *warnings)
{
	const char *found = strstr(warnings, "Cannot find member ");
	char map[64], member[64], type[TYPE_BYTES];
	char brief[300];

	while (found && found > warnings && found[-1] != '\n')
		found--;
	if (!found || sscanf(found, "%*[^:]: struct_ops init_kern %63[^:]: Cannot find member %63s", map, member) != 2)
		return false;
	find_ops_type(run, map, type);
	snprintf(brief, sizeof(brief), "this kernel's %s has no member %s", type, member);
	message_error(&(struct error_report){
		.code = "kernel-lacks",
		.brief = brief,
		.details = warnings,
		.hint = "It came with another kernel release: use one that has it, or leave the member out.",
	});
	return true;
}

static void find_ops(const struct run *run)
{
	struct bpf_map *map;

	if (ops_count)
		return;
	bpf_object__for_each_map(map, run->object) {
		if (!is_struct_ops(map) || ops_count == MAX_OPS)
			continue;
		ops_list[ops_count] = (struct ops){ .map = map };
		find_ops_type(run, bpf_map__name(map), ops_list[ops_count++].type);
	}
}

bool struct_ops_need_device(const struct run *run)
{
	find_ops(run);
	for (size_t i = 0; i < ops_count; i++)
		if (!strcmp(ops_list[i].type, "Qdisc_ops"))
			return true;
	return false;
}

static const struct btf_member *find_ops_member(const struct btf *btf, const struct btf_type *type, const char *name)
{
	for (int i = 0; type && i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), name))
			return &btf_members(type)[i];
	return NULL;
}

/* Where the kernel's value of such a map holds that member, and how long it is; -1 when it does not. */
static long find_in_value(const char *ops_type, const char *name, size_t *size)
{
	const struct btf *btf = kernel_btf();
	const struct btf_member *data, *member = NULL;
	char value[128];
	int id;

	snprintf(value, sizeof(value), VALUE_PREFIX "%s", ops_type);
	id = btf__find_by_name_kind(btf, value, BTF_KIND_STRUCT);
	data = id < 0 ? NULL : find_ops_member(btf, btf__type_by_id(btf, id), "data");
	if (data)
		member = find_ops_member(btf, btf_resolve(btf, data->type), name);
	if (!member)
		return -1;
	*size = btf__resolve_size(btf, member->type);
	return data->offset / 8 + member->offset / 8;
}

/* Asked of the kernel, which has the values that the program really set. */
static void learn_name(struct ops *ops)
{
	const struct known_ops *known = find_known(ops->type);
	size_t size = 0;
	long offset = known && known->name_member ? find_in_value(ops->type, known->name_member, &size) : -1;
	char *value = calloc(1, bpf_map__value_size(ops->map));
	__u32 zero = 0;

	if (offset >= 0 && value && offset + size <= bpf_map__value_size(ops->map) &&
	    !bpf_map_lookup_elem(bpf_map__fd(ops->map), &zero, value))
		snprintf(ops->name, sizeof(ops->name), "%.*s", (int)size, value + offset);
	free(value);
}

static void read_word(const char *path, char *word, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, word, size - 1);

	word[n > 0 ? n : 0] = '\0';
	word[strcspn(word, "\n")] = '\0';
	close(fd);
}

static void say_scheduler(void)
{
	char state[64], name[128];

	read_word("/sys/kernel/sched_ext/state", state, sizeof(state));
	read_word("/sys/kernel/sched_ext/root/ops", name, sizeof(name));
	message_log("note", "sched_ext is %s%s%s", *state ? state : "in an unknown state", *name ? ", by " : "", name);
}

/* By tc, as a person would; what it says about a failure goes to stderr and from there to the log. */
static void queue_on_testbed(const char *name)
{
	int status = -1;
	pid_t pid = fork_tied();

	if (pid == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO); /* stdout is for messages only */
		execlp("tc", "tc", "qdisc", "replace", "dev", TESTBED_DEVICE, "root", name, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	message_log(status ? "warning" : "note", status ? "tc could not make %s the queueing discipline of %s" :
							  "%s is now the queueing discipline of %s",
		    name, TESTBED_DEVICE);
}

static void attach_ops(const struct run *run, struct ops *ops)
{
	if (ops->tried)
		return;
	ops->tried = true;
	ops->link = bpf_map__attach_struct_ops(ops->map);
	if (!ops->link) {
		ops->error = -errno;
		return;
	}
	learn_name(ops);
	if (!strcmp(ops->type, "sched_ext_ops"))
		say_scheduler();
	if (!strcmp(ops->type, "Qdisc_ops") && run->testbed && *ops->name)
		queue_on_testbed(ops->name);
}

/* By the kernel struct that the program was loaded for; of several maps of one struct, the first. */
static struct ops *find_ops_of(const struct program *program)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	bpf_obj_get_info_by_fd(bpf_program__fd(program->bpf), &info, &size);
	for (size_t i = 0; i < ops_count; i++)
		if (btf__find_by_name_kind(kernel_btf(), ops_list[i].type, BTF_KIND_STRUCT) == (__s32)info.attach_btf_id)
			return &ops_list[i];
	return ops_count ? &ops_list[0] : NULL;
}

static void describe_ops(const struct ops *ops, char *target, size_t size)
{
	snprintf(target, size, *ops->name ? "%s \"%s\"" : "%s", ops->type, ops->name);
}

int attach_struct_ops(struct run *run, struct program *program)
{
	struct ops *ops;

	find_ops(run);
	ops = find_ops_of(program);
	if (!ops) {
		program_set(program, PROGRAM_SKIPPED, "no map of section .struct_ops names it");
		return 0;
	}
	attach_ops(run, ops);
	describe_ops(ops, program->target, sizeof(program->target));
	if (!ops->link)
		program_set(program, PROGRAM_FAILED, "its map %s could not be attached: %s", bpf_map__name(ops->map),
			    strerror(-ops->error));
	return 0;
}

/* In the words of a program message, because that is what a reader looks at. */
static void say_bare(const struct ops *ops)
{
	struct json *json = message_begin("program");
	char target[160];

	describe_ops(ops, target, sizeof(target));
	json_put_string(json, "name", bpf_map__name(ops->map));
	json_put_string(json, "section", ".struct_ops");
	json_put_string(json, "program_type", "struct_ops");
	json_put_string(json, "state", ops->link ? "attached" : "failed");
	json_put_string(json, "target", target);
	json_put_string(json, "reason", ops->link ? NULL : strerror(-ops->error));
	message_end();
}

static void report_bare(const struct ops *ops)
{
	char brief[400];

	snprintf(brief, sizeof(brief), "cannot attach the struct_ops map %s (%s): %s", bpf_map__name(ops->map), ops->type,
		 strerror(-ops->error));
	message_error(&(struct error_report){ .code = "attach-failed", .brief = brief, .details = libbpf_log_text() });
}

int struct_ops_attach_bare(struct run *run)
{
	int error = 0;

	find_ops(run);
	for (size_t i = 0; i < ops_count; i++) {
		struct ops *ops = &ops_list[i];

		if (ops->tried)
			continue;
		attach_ops(run, ops);
		say_bare(ops);
		bare_count += !!ops->link;
		if (ops->error && !error) {
			report_bare(ops);
			error = ops->error;
		}
	}
	return error;
}

size_t struct_ops_count_bare(void)
{
	return bare_count;
}

static void converse_forever(const char *congestion_control)
{
	if (loopback_enter())
		_exit(1);
	for (;;) {
		loopback_tcp(AF_INET, USE_PORT, congestion_control);
		loopback_tcp(AF_INET6, USE_PORT, congestion_control);
		usleep(USE_ROUND_MICROSECONDS);
	}
}

void struct_ops_start_use(void)
{
	for (size_t i = 0; i < ops_count; i++) {
		struct ops *ops = &ops_list[i];

		if (!ops->link || strcmp(ops->type, "tcp_congestion_ops"))
			continue;
		message_log("note", "exercising %s: TCP over loopback that asks for it", ops->name);
		if (fork_worker() == 0)
			converse_forever(ops->name);
	}
}

/* The kernel takes the processors back from a scheduler that let a task starve. */
void struct_ops_look(void)
{
	char state[64];

	for (size_t i = 0; i < ops_count; i++) {
		if (!ops_list[i].link || strcmp(ops_list[i].type, "sched_ext_ops"))
			continue;
		read_word("/sys/kernel/sched_ext/state", state, sizeof(state));
		if (strcmp(state, "enabled"))
			message_log("warning", "the kernel has put the scheduler %s out of charge: sched_ext is %s; dmesg says why",
				    ops_list[i].name, state);
	}
}

void struct_ops_detach(void)
{
	for (size_t i = 0; i < ops_count; i++)
		bpf_link__destroy(ops_list[i].link);
	ops_count = bare_count = 0;
}
