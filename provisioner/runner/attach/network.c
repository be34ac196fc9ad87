#include "attach/network.h"

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "attach/redirect.h"
#include "message.h"
#include "testbed/testbed.h"

/* What clsact leaves on a device when its owner dies, unlike links. */
static struct filter {
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;
} filters[64];
static size_t filter_count;
static bool made_clsact;

static const char *device_name(const struct run *run)
{
	static char name[IF_NAMESIZE];

	return if_indextoname(run->device_index, name) ? name : "?";
}

static bool xdp_taken(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].type == BPF_PROG_TYPE_XDP && run->programs[i].state == PROGRAM_ATTACHED &&
		    run->programs[i].link_fd >= 0)
			return true;
	return false;
}

/* Not by libbpf's function: with a type that is only inferred from the section it asks for the wrong hook. */
static int link_xdp(const struct run *run, struct program *program, __u32 flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);

	program->link_fd = bpf_link_create(bpf_program__fd(program->bpf), run->device_index, BPF_XDP, &opts);
	return program->link_fd < 0 ? program->link_fd : 0;
}

static bool runs_generic(const struct run *run)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	return !bpf_xdp_query(run->device_index, 0, &opts) && opts.attach_mode == XDP_ATTACHED_SKB;
}

int attach_xdp(struct run *run, struct program *program)
{
	int error;

	snprintf(program->target, sizeof(program->target), "%s", device_name(run));
	if (xdp_taken(run)) {
		program_set(program, PROGRAM_SKIPPED,
			    "a device takes one XDP program, and another is attached; --prog %s chooses this one",
			    program->name);
		return 0;
	}
	redirect_fill_maps(run);
	error = link_xdp(run, program, 0);
	if (error)
		error = link_xdp(run, program, XDP_FLAGS_SKB_MODE);
	if (!error && runs_generic(run))
		message_log("note", "%s: the driver of %s does not take it, attached in generic mode", program->name,
			    device_name(run));
	return error;
}

static bool names_egress(const struct program *program)
{
	if (strstr(program->section, "ingress"))
		return false;
	return strstr(program->section, "egress") || strstr(program->name, "egress");
}

static void set_direction(const struct run *run, struct program *program)
{
	snprintf(program->target, sizeof(program->target), "%s %s", device_name(run),
		 names_egress(program) ? "egress" : "ingress");
}

#if HAVE_LIBBPF(1, 3)
static int attach_hook(struct run *run, struct program *program, enum bpf_attach_type hook)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts);

	program->link_fd = bpf_link_create(bpf_program__fd(program->bpf), run->device_index, hook, &opts);
	return program->link_fd < 0 ? program->link_fd : 0;
}

int attach_tcx(struct run *run, struct program *program)
{
	set_direction(run, program);
	return attach_hook(run, program, names_egress(program) ? BPF_TCX_EGRESS : BPF_TCX_INGRESS);
}

int attach_netkit(struct run *run, struct program *program)
{
	bool peer = section_under(program->section, "netkit/peer");
	int error;

	snprintf(program->target, sizeof(program->target), "%s %s", device_name(run), peer ? "peer" : "primary");
	if (run->testbed && !testbed_is_netkit(run->testbed)) {
		program_set(program, PROGRAM_FAILED,
			    "a pair of netkit devices cannot be made: that takes Linux 6.7 with CONFIG_NETKIT, and "
			    "iproute2 6.7");
		return 0;
	}
	error = attach_hook(run, program, peer ? BPF_NETKIT_PEER : BPF_NETKIT_PRIMARY);
	if (error)
		program_set(program, PROGRAM_FAILED, "%s does not take it (%s): is it the primary device of a netkit pair?",
			    device_name(run), strerror(-error));
	return 0;
}
#else
int attach_tcx(struct run *run, struct program *program)
{
	return attach_tc(run, program);
}
#endif

static int create_clsact(struct bpf_tc_hook *hook)
{
	int error = bpf_tc_hook_create(hook);

	if (!error)
		made_clsact = true;
	return error == -EEXIST ? 0 : error;
}

static int attach_clsact(struct run *run, struct program *program)
{
	struct filter *filter = &filters[filter_count];
	int error;

	if (filter_count == sizeof(filters) / sizeof(filters[0]))
		return -ENOSPC;
	*filter = (struct filter){
		.hook = { .sz = sizeof(filter->hook),
			  .ifindex = run->device_index,
			  .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS },
		/* Left to the kernel, the last one would come first. */
		.opts = { .sz = sizeof(filter->opts), .prog_fd = bpf_program__fd(program->bpf),
			  .priority = filter_count + 1 },
	};
	error = create_clsact(&filter->hook);
	if (error)
		return error;
	filter->hook.attach_point = names_egress(program) ? BPF_TC_EGRESS : BPF_TC_INGRESS;
	error = bpf_tc_attach(&filter->hook, &filter->opts);
	if (!error)
		filter_count++;
	return error;
}

int attach_tc(struct run *run, struct program *program)
{
	set_direction(run, program);
#if HAVE_LIBBPF(1, 3)
	/* On a real device a link is safer, it goes away with us even when we are killed. */
	if (!run->testbed && !attach_tcx(run, program))
		return 0;
#endif
	return attach_clsact(run, program);
}

static void detach_filter(struct filter *filter)
{
	/* What attaching filled in would make detaching invalid. */
	filter->opts.prog_fd = filter->opts.prog_id = filter->opts.flags = 0;
	bpf_tc_detach(&filter->hook, &filter->opts);
}

void network_detach(void)
{
	for (size_t i = 0; i < filter_count; i++)
		detach_filter(&filters[i]);
	if (made_clsact) {
		filters[0].hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		bpf_tc_hook_destroy(&filters[0].hook);
	}
	filter_count = 0;
	made_clsact = false;
}
