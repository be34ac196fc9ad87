#include "load/instructions.h"

#include <linux/bpf.h>

struct map_use {
	size_t lookups, others;
};

static bool loads_map(const struct bpf_insn *insn, int fd)
{
	return insn->code == (BPF_LD | BPF_DW | BPF_IMM) && insn->src_reg == BPF_PSEUDO_MAP_FD && insn->imm == fd;
}

/*
 * Reads straight on and does not follow_map_registers jumps: compilers load a map's address right before the call that takes it.
 * "holds" has a bit for each register that is the map.
 */
static void follow_map_registers(const struct bpf_insn *insn, int fd, unsigned int *holds, struct map_use *use)
{
	unsigned int bit = 1u << insn->dst_reg;

	if (loads_map(insn, fd)) {
		*holds |= bit;
	} else if (insn->code == (BPF_ALU64 | BPF_MOV | BPF_X)) {
		*holds = *holds & 1u << insn->src_reg ? *holds | bit : *holds & ~bit;
	} else if (insn->code == (BPF_JMP | BPF_CALL)) {
		if (*holds & 0x3e) { /* one of the arguments, R1 to R5 */
			if (insn->src_reg == 0 && insn->imm == BPF_FUNC_map_lookup_elem)
				use->lookups++;
			else
				use->others++;
		}
		*holds &= ~0x3fu;
	} else if (BPF_CLASS(insn->code) == BPF_LDX || BPF_CLASS(insn->code) == BPF_LD ||
		   BPF_CLASS(insn->code) == BPF_ALU64 || BPF_CLASS(insn->code) == BPF_ALU) {
		*holds &= ~bit;
	}
}

bool map_is_only_looked_up(const struct run *run, const struct bpf_map *map)
{
	struct map_use use = {};

	for (size_t i = 0; i < run->program_count; i++) {
		const struct bpf_insn *insns = bpf_program__insns(run->programs[i].bpf);
		size_t count = bpf_program__insn_cnt(run->programs[i].bpf);
		unsigned int holds = 0;

		for (size_t at = 0; insns && at < count; at++)
			follow_map_registers(&insns[at], bpf_map__fd(map), &holds, &use);
	}
	return use.lookups && !use.others;
}

bool programs_call(const struct run *run, enum bpf_func_id helper)
{
	for (size_t i = 0; i < run->program_count; i++) {
		const struct bpf_insn *insns = bpf_program__insns(run->programs[i].bpf);
		size_t count = bpf_program__insn_cnt(run->programs[i].bpf);

		for (size_t at = 0; insns && at < count; at++)
			if (insns[at].code == (BPF_JMP | BPF_CALL) && insns[at].src_reg == 0 && insns[at].imm == (int)helper)
				return true;
	}
	return false;
}
