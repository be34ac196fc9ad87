#include "attach/sockmap.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"
#include "util.h"

bool is_sockmap(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_SOCKMAP || bpf_map__type(map) == BPF_MAP_TYPE_SOCKHASH;
}

static __u32 map_id(const struct bpf_map *map)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &size) ? 0 : info.id;
}

bool program_uses_map(const struct program *program, const struct bpf_map *map)
{
	__u32 ids[64], wanted = map_id(map);
	struct bpf_prog_info info = { .nr_map_ids = COUNT(ids), .map_ids = (unsigned long)ids };
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program->bpf), &info, &size))
		return false;
	for (__u32 i = 0; i < info.nr_map_ids && i < COUNT(ids); i++)
		if (ids[i] == wanted)
			return true;
	return false;
}

int sockmap_put(const struct bpf_map *map, __u32 index, int socket)
{
	__u64 value = socket;
	char key[128] = {};

	if (bpf_map__key_size(map) > sizeof(key))
		return -E2BIG;
	memcpy(key, &index, sizeof(index));
	return bpf_map_update_elem(bpf_map__fd(map), key, &value, BPF_NOEXIST);
}

/* Parser and verdict must share a map, but only the verdict mentions one: that of any program of the type will do. */
static struct bpf_map *find_sockmap(const struct run *run, enum bpf_prog_type type)
{
	struct bpf_map *map, *first = NULL;

	bpf_object__for_each_map(map, run->object) {
		if (!is_sockmap(map))
			continue;
		for (size_t i = 0; i < run->program_count; i++)
			if (run->programs[i].type == type && program_uses_map(&run->programs[i], map))
				return map;
		if (!first)
			first = map;
	}
	return first;
}

/* A bare "sk_skb" leaves it to the loader which of the two it is. */
static enum bpf_attach_type sockmap_hook(const struct program *program)
{
	enum bpf_attach_type hook = bpf_program__expected_attach_type(program->bpf);

	if (hook)
		return hook;
	if (program->type == BPF_PROG_TYPE_SK_MSG)
		return BPF_SK_MSG_VERDICT;
	return strstr(program->name, "pars") ? BPF_SK_SKB_STREAM_PARSER : BPF_SK_SKB_STREAM_VERDICT;
}

/* Nothing to detach: the map holds the programs and goes away with us. */
int attach_sockmap(struct run *run, struct program *program)
{
	const struct bpf_map *map = find_sockmap(run, program->type);

	if (!map) {
		program_set(program, PROGRAM_SKIPPED,
			    "it attaches to a SOCKMAP or SOCKHASH, and the object has none");
		return 0;
	}
	snprintf(program->target, sizeof(program->target), "%s", bpf_map__name(map));
	return bpf_prog_attach(bpf_program__fd(program->bpf), bpf_map__fd(map), sockmap_hook(program), 0) ? -errno : 0;
}

static bool attached_as(const struct program *program, enum bpf_prog_type type)
{
	return program->state == PROGRAM_ATTACHED && program->type == type;
}

static bool sockmap_programs_attached(const struct run *run)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (attached_as(&run->programs[i], BPF_PROG_TYPE_SK_SKB) ||
		    attached_as(&run->programs[i], BPF_PROG_TYPE_SK_MSG))
			return true;
	return false;
}

static bool filled_by_sockops(const struct run *run, const struct bpf_map *map)
{
	for (size_t i = 0; i < run->program_count; i++)
		if (attached_as(&run->programs[i], BPF_PROG_TYPE_SOCK_OPS) &&
		    program_uses_map(&run->programs[i], map))
			return true;
	return false;
}

/* Two ends of a TCP connection; returns 0 or a negative errno. */
static int connect_over_loopback(int *ends)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);
	int error = 0;

	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ends[1] = -1;
	if (!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 1) &&
	    !getsockname(listener, (struct sockaddr *)&address, &size) &&
	    !connect(ends[0], (struct sockaddr *)&address, size))
		ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (ends[1] < 0)
		error = -errno;
	close(listener);
	return error;
}

/* Until nothing has come for a while; not without end, whatever a program sends where. */
static void receive_all(struct pollfd *ends, size_t count)
{
	char data[512];

	for (int round = 0; round < 100 && poll(ends, count, 100) > 0; round++)
		for (size_t i = 0; i < count; i++)
			if (ends[i].revents)
				(void)!recv(ends[i].fd, data, sizeof(data), MSG_DONTWAIT);
}

static void talk_forever(const int *sockets, size_t count)
{
	static const char text[] = "hello over a sockmap\n";
	struct pollfd ends[8];

	for (size_t i = 0; i < count; i++)
		ends[i] = (struct pollfd){ sockets[i], POLLIN, 0 };
	for (;;) {
		for (size_t i = 0; i < count; i++)
			send(sockets[i], text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		receive_all(ends, count);
		sleep(1);
	}
}

static int start_connections(const struct bpf_map *map)
{
	int ends[4] = { -1, -1, -1, -1 };
	int error = connect_over_loopback(&ends[0]);

	if (!error)
		error = connect_over_loopback(&ends[2]);
	if (!error)
		error = sockmap_put(map, 0, ends[1]);
	if (!error) {
		sockmap_put(map, 1, ends[3]); /* a map may have room for one only */
		if (fork_tied() == 0)
			talk_forever(ends, COUNT(ends));
	}
	for (size_t i = 0; i < COUNT(ends); i++)
		if (ends[i] >= 0)
			close(ends[i]);
	return error;
}

void sockmap_start_traffic(const struct run *run)
{
	struct bpf_map *map;
	int error;

	if (!sockmap_programs_attached(run))
		return;
	bpf_object__for_each_map(map, run->object) {
		if (!is_sockmap(map) || filled_by_sockops(run, map))
			continue;
		error = start_connections(map);
		if (error)
			message_log("warning", "cannot put sockets into %s: %s", bpf_map__name(map), strerror(-error));
	}
}
