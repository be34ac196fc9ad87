#include "attach/routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/lwtunnel.h>
#include <linux/rtnetlink.h>
#include <linux/seg6_local.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testbed/testbed.h"
#include "util.h"

/* A netlink message about one route, under construction. */
struct route_message {
	struct nlmsghdr header;
	struct rtmsg route;
	char attributes[512];
};

static struct rtattr *message_end_of(struct route_message *message)
{
	return (struct rtattr *)((char *)message + NLMSG_ALIGN(message->header.nlmsg_len));
}

static struct rtattr *add_attribute(struct route_message *message, int type, const void *data, size_t size)
{
	struct rtattr *attribute = message_end_of(message);

	attribute->rta_type = type;
	attribute->rta_len = RTA_LENGTH(size);
	if (size)
		memcpy(RTA_DATA(attribute), data, size);
	message->header.nlmsg_len = NLMSG_ALIGN(message->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
	return attribute;
}

static struct rtattr *open_nest(struct route_message *message, int type)
{
	return add_attribute(message, type | NLA_F_NESTED, NULL, 0);
}

static void close_nest(struct route_message *message, struct rtattr *nest)
{
	nest->rta_len = (char *)message_end_of(message) - (char *)nest;
}

/* Returns 0 or the kernel's answer, a negative errno. */
static int send_route(struct route_message *message)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[sizeof(*message)]; /* it quotes what it refuses */
	} answer = {};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int error = 0;

	message->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(fd, message, message->header.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		error = -errno;
	close(fd);
	return error ? error : answer.error.error;
}

/* A route of the testbed's device to an address (or, with fewer bits, a network). */
static struct route_message make_route(const struct run *run, int command, const char *address, int bits)
{
	int family = strchr(address, ':') ? AF_INET6 : AF_INET;
	struct route_message message = {
		.header = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)), .nlmsg_type = command },
		.route = { .rtm_family = family, .rtm_dst_len = bits, .rtm_table = RT_TABLE_MAIN,
			   .rtm_protocol = RTPROT_STATIC, .rtm_scope = RT_SCOPE_LINK, .rtm_type = RTN_UNICAST },
	};
	char binary[16];

	inet_pton(family, address, binary);
	add_attribute(&message, RTA_DST, binary, family == AF_INET6 ? 16 : 4);
	add_attribute(&message, RTA_OIF, &run->device_index, sizeof(run->device_index));
	return message;
}

static void make_local(struct route_message *message)
{
	message->route.rtm_type = RTN_LOCAL;
	message->route.rtm_table = RT_TABLE_LOCAL;
	message->route.rtm_scope = RT_SCOPE_HOST;
}

static void add_program(struct route_message *message, int type, int fd_type, int name_type,
			const struct program *program)
{
	struct rtattr *nest = open_nest(message, type);
	int fd = bpf_program__fd(program->bpf);

	add_attribute(message, fd_type, &fd, sizeof(fd));
	add_attribute(message, name_type, program->name, strlen(program->name) + 1);
	close_nest(message, nest);
}

static void add_encapsulation_type(struct route_message *message, uint16_t type)
{
	add_attribute(message, RTA_ENCAP_TYPE, &type, sizeof(type));
}

/* The programs that the routes of the testbed lead through: [LWT_BPF_IN], [LWT_BPF_OUT], [LWT_BPF_XMIT]. */
static const struct program *lwt_programs[LWT_BPF_XMIT + 1];

static int lwt_hook(const struct program *program)
{
	return program->type == BPF_PROG_TYPE_LWT_IN  ? LWT_BPF_IN :
	       program->type == BPF_PROG_TYPE_LWT_OUT ? LWT_BPF_OUT :
							LWT_BPF_XMIT;
}

static void add_lwt_programs(struct route_message *message, int first, int last)
{
	struct rtattr *nest;

	add_encapsulation_type(message, LWTUNNEL_ENCAP_BPF);
	nest = open_nest(message, RTA_ENCAP);
	for (int hook = first; hook <= last; hook++)
		if (lwt_programs[hook])
			add_program(message, hook, LWT_BPF_PROG_FD, LWT_BPF_PROG_NAME, lwt_programs[hook]);
	close_nest(message, nest);
}

/* The kernel's own route to an address of ours would come before another one, so it makes room. */
static int lead_in(const struct run *run, const char *address, int bits)
{
	struct route_message old = make_route(run, RTM_DELROUTE, address, bits);
	struct route_message new = make_route(run, RTM_NEWROUTE, address, bits);

	make_local(&old);
	old.route.rtm_protocol = RTPROT_UNSPEC;
	send_route(&old);
	make_local(&new);
	new.header.nlmsg_flags = NLM_F_CREATE;
	add_lwt_programs(&new, LWT_BPF_IN, LWT_BPF_IN);
	return send_route(&new);
}

static int lead_out(const struct run *run, const char *address, int bits)
{
	struct route_message message = make_route(run, RTM_NEWROUTE, address, bits);

	message.header.nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	add_lwt_programs(&message, LWT_BPF_OUT, LWT_BPF_XMIT);
	return send_route(&message);
}

static int attach_to_segment(const struct run *run, struct program *program)
{
	struct route_message message = make_route(run, RTM_NEWROUTE, TESTBED_SEGMENT_NETWORK, 64);
	__u32 action = SEG6_LOCAL_ACTION_END_BPF;
	struct rtattr *nest;

	snprintf(program->target, sizeof(program->target), "segment " TESTBED_SEGMENT_NETWORK "/64");
	message.header.nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	add_encapsulation_type(&message, LWTUNNEL_ENCAP_SEG6_LOCAL);
	nest = open_nest(&message, RTA_ENCAP);
	add_attribute(&message, SEG6_LOCAL_ACTION, &action, sizeof(action));
	add_program(&message, SEG6_LOCAL_BPF, SEG6_LOCAL_BPF_PROG, SEG6_LOCAL_BPF_PROG_NAME, program);
	close_nest(&message, nest);
	return send_route(&message);
}

static int attach_to_routes(const struct run *run, struct program *program)
{
	bool in = lwt_hook(program) == LWT_BPF_IN;
	int error;

	lwt_programs[lwt_hook(program)] = program;
	snprintf(program->target, sizeof(program->target), "routes to %s and %s", in ? TESTBED_IPV4 : TESTBED_PEER_IPV4,
		 in ? TESTBED_IPV6 : TESTBED_PEER_IPV6);
	error = in ? lead_in(run, TESTBED_IPV4, 32) : lead_out(run, TESTBED_PEER_IPV4, 32);
	if (!error)
		error = in ? lead_in(run, TESTBED_IPV6, 128) : lead_out(run, TESTBED_PEER_IPV6, 128);
	return error;
}

static bool segment_taken(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (run->programs[i].type == BPF_PROG_TYPE_LWT_SEG6LOCAL && run->programs[i].state == PROGRAM_ATTACHED)
			return true;
	return false;
}

/* Nothing to detach: the routes hold the programs and go away with the namespace. */
int attach_lwt(struct run *run, struct program *program)
{
	bool segment = program->type == BPF_PROG_TYPE_LWT_SEG6LOCAL;

	if (!run->testbed) {
		program_set(program, PROGRAM_FAILED, "it attaches to routes, and only the testbed's are changed: "
			    "leave the device away");
		return 0;
	}
	if (segment ? segment_taken(run) : !!lwt_programs[lwt_hook(program)]) {
		program_set(program, PROGRAM_SKIPPED,
			    "a route takes one program of each kind, and another is attached; --prog %s chooses this one",
			    program->name);
		return 0;
	}
	return segment ? attach_to_segment(run, program) : attach_to_routes(run, program);
}
