/*
 * struct_ops: a map is attached, its programs run as members of it. Which kernels know which structs, and what sets
 * their programs off: a scheduler runs at once, a congestion control or a queueing discipline is put to use.
 */
#ifndef RUNNER_STRUCT_OPS_H
#define RUNNER_STRUCT_OPS_H

#include "run.h"

int struct_ops_check(const struct run *run);	/* before loading: EXIT_LOAD, reported, when the kernel lacks a struct */
void struct_ops_prepare_map(struct bpf_map *map);
bool struct_ops_explain(const struct run *run, const char *warnings); /* of a failed load: a member, reported */

bool struct_ops_need_device(const struct run *run);
int attach_struct_ops(struct run *run, struct program *program);

/*
 * A map without programs is attached too and stands among the programs itself. Both say how many of these are
 * attached; the first attaches them, and returns a negative errno, reported, when one cannot be.
 */
int struct_ops_attach_bare(struct run *run);
size_t struct_ops_count_bare(void);

void struct_ops_start_use(void); /* connections by a congestion control that is attached */
void struct_ops_look(void);	/* at the end, before detaching: whether a scheduler is still in charge */
void struct_ops_detach(void);

#endif
