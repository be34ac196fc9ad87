/* Bytes whose type is known from BTF, written as JSON. */
#ifndef RUNNER_BTF_JSON_H
#define RUNNER_BTF_JSON_H

#include <bpf/btf.h>

#include "json.h"

/* The bytes of one value; for a per-CPU value, of its copies, a stride apart. */
struct btf_bytes {
	const struct btf *btf;
	const unsigned char *data;
	size_t size;	/* of one copy */
	size_t copies;	/* 1, or the number of CPUs: integers are then summed, of others the first that is not 0 */
	size_t stride;
};

/*
 * Integers become numbers (beyond 64 bits "0x..."), enums their names, pointers "0x...", char arrays strings up to
 * the first NUL, structs objects with anonymous members merged in. A flexible array takes what is left of the bytes, an
 * array that is cut short what is there of it. Else what reaches beyond the bytes becomes null.
 */
void btf_json_value(struct json *json, const struct btf_bytes *bytes, __u32 type_id, size_t offset);

/* Without a type: an unsigned number of 1, 2, 4 or 8 bytes, hex otherwise. */
void btf_json_untyped(struct json *json, const struct btf_bytes *bytes);

/* "struct event", "unsigned int", ...; a typedef keeps its own name. */
void btf_type_name(const struct btf *btf, __u32 type_id, char *name, size_t size);

/* The type behind typedefs and qualifiers. */
const struct btf_type *btf_resolve(const struct btf *btf, __u32 type_id);

bool btf_is_flexible(const struct btf *btf, __u32 type_id); /* a struct that ends in an array of no length */

#endif
