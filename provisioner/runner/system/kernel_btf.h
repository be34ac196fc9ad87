/* What the running kernel and its modules say of themselves; read when first asked, and kept to the end. */
#ifndef RUNNER_KERNEL_BTF_H
#define RUNNER_KERNEL_BTF_H

#include <bpf/btf.h>
#include <stdbool.h>

const struct btf *kernel_btf(void); /* NULL when the kernel has none */

/* Whether the kernel or one of its loaded modules has a type of that name. */
bool kernel_has(const char *name, __u32 kind);

#endif
