/* Programs of our own, hooked behind a function, that count in a map of __u64. */
#ifndef RUNNER_COUNTER_H
#define RUNNER_COUNTER_H

#include <bpf/bpf.h>

#define INSN(op, dst, src, offset, value) \
	((struct bpf_insn){ .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (offset), .imm = (value) })
/* reg = address on the stack (2 instructions) */
#define STACK(reg, at) \
	INSN(BPF_ALU64 | BPF_MOV | BPF_X, reg, BPF_REG_10, 0, 0), INSN(BPF_ALU64 | BPF_ADD | BPF_K, reg, 0, 0, at)
/* counts[key on the stack]++, if it is there (8 instructions) */
#define COUNT_UP(key_at, counts_fd) \
	STACK(BPF_REG_2, key_at), \
	INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, counts_fd), \
	INSN(0, 0, 0, 0, 0), \
	INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem), \
	INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0), \
	INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1), \
	INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, BPF_REG_1, 0, BPF_ADD)
#define RETURN_NOTHING \
	INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0), INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/*
 * Loads an fexit program and hooks it behind a function: that of the loaded program ``program_fd``, or of the kernel
 * when it is 0. ``function_id`` is the function's in its BTF. Returns the link or a negative errno.
 */
int counter_hook(const char *name, const struct bpf_insn *code, size_t length, int program_fd, int function_id);

#endif
