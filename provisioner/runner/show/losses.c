#include "show/losses.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <string.h>
#include <unistd.h>

#include "load/instructions.h"
#include "show/counter.h"
#include "system/kernel_btf.h"
#include "util.h"

#define MAX_COUNTED 32

/* The functions behind the helpers; all have the map first, and answer no room with 0 or an error. */
static const struct function {
	const char *name;
	__s32 helper;
	__u8 has_room; /* the jump that is taken on its answer, against 0, when there was room */
} FUNCTIONS[] = {
	{ "bpf_ringbuf_reserve", BPF_FUNC_ringbuf_reserve, BPF_JNE },
	{ "bpf_ringbuf_output", BPF_FUNC_ringbuf_output, BPF_JSGE },
	{ "bpf_ringbuf_reserve_dynptr", BPF_FUNC_ringbuf_reserve_dynptr, BPF_JSGE },
};

static int counts_fd = -1; /* map id -> records; only maps that are in it are counted */
static int links[COUNT(FUNCTIONS)] = { -1, -1, -1 };

/*
 * fexit(ctx): bpf_get_func_ret(ctx, &answer); if (had room) return 0; map = ctx[0]; the kernel's function takes all as
 * numbers, so bpf_probe_read_kernel(&id, 4, map + offset of id); counts[id]++, if it is there.
 */
static int count_losses(const struct function *function, __u32 id_offset)
{
	const struct bpf_insn code[] = {
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0),
		STACK(BPF_REG_2, -8),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_func_ret),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_10, -8, 0),
		INSN(BPF_JMP | function->has_room | BPF_K, BPF_REG_1, 0, 15, 0),
		STACK(BPF_REG_1, -8),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, sizeof(__u32)),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_3, BPF_REG_6, 0, 0),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, id_offset),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel),
		INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_0, 0, 8, 0),
		COUNT_UP(-8, counts_fd),
		RETURN_NOTHING,
	};
	int id = btf__find_by_name_kind(kernel_btf(), function->name, BTF_KIND_FUNC);

	return id > 0 ? counter_hook("losses", code, COUNT(code), 0, id) : -1;
}

/* Where a map's id is in the kernel's struct, or -1. */
static int find_id_offset(void)
{
	int id = kernel_btf() ? btf__find_by_name_kind(kernel_btf(), "bpf_map", BTF_KIND_STRUCT) : -1;
	const struct btf_type *map = id > 0 ? btf__type_by_id(kernel_btf(), id) : NULL;

	for (size_t i = 0; map && i < btf_vlen(map); i++)
		if (!strcmp(btf__name_by_offset(kernel_btf(), btf_members(map)[i].name_off), "id"))
			return btf_member_bit_offset(map, i) / 8;
	return -1;
}

/* Only what the programs call, as each hook takes the kernel a moment. Returns false when one cannot be had. */
static bool open_counters(const struct run *run)
{
	int id_offset = find_id_offset();

	if (id_offset < 0)
		return false;
	counts_fd = bpf_map_create(BPF_MAP_TYPE_HASH, "losses", sizeof(__u32), sizeof(__u64), MAX_COUNTED, NULL);
	for (size_t i = 0; counts_fd >= 0 && i < COUNT(FUNCTIONS); i++) {
		if (!programs_call(run, FUNCTIONS[i].helper))
			continue;
		links[i] = count_losses(&FUNCTIONS[i], id_offset);
		if (links[i] < 0)
			return false;
	}
	return counts_fd >= 0;
}

static __u32 id_of(int map_fd)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	return bpf_obj_get_info_by_fd(map_fd, &info, &size) ? 0 : info.id;
}

bool losses_count(const struct run *run, int map_fd)
{
	__u32 id = id_of(map_fd);
	__u64 none = 0;

	if (counts_fd < 0 && !open_counters(run)) {
		losses_close();
		return false;
	}
	return id && !bpf_map_update_elem(counts_fd, &id, &none, BPF_ANY);
}

__u64 losses_take(int map_fd)
{
	static struct {
		__u32 id;
		__u64 told;
	} maps[MAX_COUNTED];
	__u32 id = id_of(map_fd);
	__u64 count;
	size_t i = 0;

	if (counts_fd < 0 || bpf_map_lookup_elem(counts_fd, &id, &count))
		return 0;
	while (maps[i].id && maps[i].id != id)
		i++; /* there is a place for each that is counted */
	maps[i].id = id;
	count -= maps[i].told;
	maps[i].told += count;
	return count;
}

void losses_close(void)
{
	for (size_t i = 0; i < COUNT(FUNCTIONS); i++)
		if (links[i] >= 0)
			close(links[i]);
	if (counts_fd >= 0)
		close(counts_fd);
	memset(links, -1, sizeof(links));
	counts_fd = -1;
}
