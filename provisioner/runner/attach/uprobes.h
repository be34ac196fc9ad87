/*
 * Probes of user space: uprobe, uretprobe (also .s, .multi and .session) and USDT. Their sections name a file and a
 * function, only one of them, or neither: what is missing is looked for.
 */
#ifndef RUNNER_UPROBES_H
#define RUNNER_UPROBES_H

#include "run.h"

int attach_uprobe(struct run *run, struct program *program);
int attach_usdt(struct run *run, struct program *program);
bool is_user_probe(const struct program *program);

#endif
