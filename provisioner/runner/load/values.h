/* Text that a person wrote, turned into the bytes of a type. */
#ifndef RUNNER_VALUES_H
#define RUNNER_VALUES_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Numbers are decimal, 0x.. or 0..; bool true or false; enums by name; char arrays are text; what is 4, 6 or 16 bytes
 * may be written as an IPv4, Ethernet or IPv6 address, which is stored as it is sent. Arrays and structs are lists,
 * {a,b} or plain a,b; what is left out is zero, and members may be named: {pid:1}. Bytes may be 0x0a0b.. of their
 * exact length. With type_id 0 only the size is known. Returns false with the reason in why.
 */
struct value_place {
	const struct btf *btf;
	__u32 type_id;
	unsigned char *data;
	size_t size;
};

bool value_parse(const struct value_place *place, const char *text, char *why, size_t why_size);

/* "int", "char[16]", "struct event" as C would say it. */
void value_type_text(const struct btf *btf, __u32 type_id, char *text, size_t size);

#endif
