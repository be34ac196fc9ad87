#include "attach/syscalls.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "show/btf_json.h"

/* For a context whose type is not told. The kernel wants at least what the program reads. */
#define UNTYPED_CONTEXT_BYTES 4096

bool is_syscall(const struct program *program)
{
	return program->type == BPF_PROG_TYPE_SYSCALL;
}

int attach_syscall(struct run *run, struct program *program)
{
	(void)run;
	snprintf(program->target, sizeof(program->target), "called once");
	return 0;
}

/* The struct that the program's argument points to, 0 when it is void or not told. */
static __u32 context_type(const struct btf *btf, const struct program *program)
{
	int id = btf ? btf__find_by_name_kind(btf, program->name, BTF_KIND_FUNC) : -1;
	const struct btf_type *prototype = id < 0 ? NULL : btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
	const struct btf_type *pointer, *pointed;

	if (!prototype || !btf_vlen(prototype))
		return 0;
	pointer = btf_resolve(btf, btf_params(prototype)[0].type);
	pointed = pointer && btf_is_ptr(pointer) ? btf_resolve(btf, pointer->type) : NULL;
	return pointed && btf_is_composite(pointed) ? pointer->type : 0;
}

/* Programs hand results back in what they were given. */
static void say_return(const struct btf *btf, const struct program *program, int value, __u32 type_id,
		       const void *context, size_t size)
{
	struct btf_bytes bytes = { btf, context, size, 1, 0 };
	struct json json = {};

	if (type_id) {
		btf_json_value(&json, &bytes, type_id, 0);
		message_log("note", "%s returned %d, its context is %.*s", program->name, value, (int)json.size, json.text);
	} else {
		message_log("note", "%s returned %d", program->name, value);
	}
	free(json.text);
}

static void call_program(const struct btf *btf, const struct program *program)
{
	__u32 type_id = context_type(btf, program);
	size_t size = type_id ? btf__resolve_size(btf, type_id) : UNTYPED_CONTEXT_BYTES;
	void *context = calloc(1, size);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = context, .ctx_size_in = size); /* written back to */

	if (bpf_prog_test_run_opts(bpf_program__fd(program->bpf), &opts))
		message_log("warning", "%s could not be called: %s", program->name, strerror(errno));
	else
		say_return(btf, program, opts.retval, type_id, context, size);
	free(context);
}

void syscalls_call(struct run *run)
{
	const struct btf *btf = bpf_object__btf(run->object);

	for (size_t i = 0; i < run->program_count; i++)
		if (is_syscall(&run->programs[i]) && run->programs[i].state == PROGRAM_ATTACHED)
			call_program(btf, &run->programs[i]);
}
