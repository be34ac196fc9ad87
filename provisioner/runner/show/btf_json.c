#include "show/btf_json.h"

#include <stdio.h>
#include <string.h>

static void put_members(struct json *json, const struct btf_bytes *bytes, const struct btf_type *type, size_t offset);

const struct btf_type *btf_resolve(const struct btf *btf, __u32 type_id)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);

	while (type && (btf_is_mod(type) || btf_is_typedef(type)))
		type = btf__type_by_id(btf, type->type);
	return type;
}

/* At most 8 bytes, of one copy. */
static uint64_t load_bytes(const unsigned char *data, size_t size)
{
	uint64_t value = 0;

	switch (size) {
	case 1:
		return *data;
	case 2:
		return *(const uint16_t __attribute__((aligned(1), may_alias)) *)data;
	case 4:
		return *(const uint32_t __attribute__((aligned(1), may_alias)) *)data;
	case 8:
		return *(const uint64_t __attribute__((aligned(1), may_alias)) *)data;
	}
	memcpy(&value, data, size);
	return value;
}

static uint64_t load_sum(const struct btf_bytes *bytes, size_t offset, size_t size)
{
	uint64_t sum = 0;

	for (size_t copy = 0; copy < bytes->copies; copy++)
		sum += load_bytes(bytes->data + copy * bytes->stride + offset, size);
	return sum;
}

static int64_t sign_extend(uint64_t value, unsigned int bits)
{
	unsigned int shift = 64 - bits;

	return (int64_t)(value << shift) >> shift;
}

static void put_number(struct json *json, const struct btf_type *type, uint64_t value, unsigned int bits)
{
	__u8 encoding = btf_is_int(type) ? btf_int_encoding(type) : 0;

	if (encoding & BTF_INT_BOOL && value <= 1)
		json_bool(json, value);
	else if (encoding & BTF_INT_SIGNED && bits)
		json_signed(json, sign_extend(value, bits));
	else
		json_unsigned(json, value);
}

static void put_wide(struct json *json, const unsigned char *data, size_t size)
{
	char text[2 + 2 * 32 + 1];
	int at = snprintf(text, sizeof(text), "0x");

	for (size_t i = 0; i < size && i < 32; i++) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		at += snprintf(text + at, sizeof(text) - at, "%02x", data[size - 1 - i]);
#else
		at += snprintf(text + at, sizeof(text) - at, "%02x", data[i]);
#endif
	}
	json_string(json, text);
}

static void put_enum(struct json *json, const struct btf *btf, const struct btf_type *type, uint64_t value)
{
	unsigned int bits = type->size * 8;
	const char *name = NULL;

	for (int i = 0; i < btf_vlen(type) && !name; i++) {
		if (btf_is_enum(type) && (__u32)btf_enum(type)[i].val == (__u32)value)
			name = btf__name_by_offset(btf, btf_enum(type)[i].name_off);
		else if (btf_is_enum64(type) && btf_enum64_value(&btf_enum64(type)[i]) == value)
			name = btf__name_by_offset(btf, btf_enum64(type)[i].name_off);
	}
	if (name)
		json_string(json, name);
	else if (btf_kflag(type))
		json_signed(json, sign_extend(value, bits));
	else
		json_unsigned(json, value);
}

static void put_float(struct json *json, const unsigned char *data, size_t size)
{
	float single;
	double full;

	if (size == sizeof(single)) {
		memcpy(&single, data, sizeof(single));
		json_double(json, single);
	} else if (size == sizeof(full)) {
		memcpy(&full, data, sizeof(full));
		json_double(json, full);
	} else {
		json_hex(json, data, size);
	}
}

/* By name: LLVM marks neither char nor unsigned char in the encoding, and u8 arrays hold addresses more than text. */
static bool is_char(const struct btf *btf, const struct btf_type *type)
{
	return btf_is_int(type) && type->size == 1 && !strcmp(btf__name_by_offset(btf, type->name_off), "char");
}

/* What cannot be added up is that of the first CPU that has it. */
static const unsigned char *first_filled(const struct btf_bytes *bytes, size_t offset, size_t size)
{
	for (size_t copy = 0; copy < bytes->copies; copy++) {
		const unsigned char *data = bytes->data + copy * bytes->stride + offset;

		for (size_t i = 0; i < size; i++)
			if (data[i])
				return data;
	}
	return bytes->data + offset;
}

static void put_array(struct json *json, const struct btf_bytes *bytes, const struct btf_type *type, size_t offset)
{
	const struct btf_array *array = btf_array(type);
	const struct btf_type *element = btf_resolve(bytes->btf, array->type);
	__s64 size = btf__resolve_size(bytes->btf, array->type);
	size_t count = array->nelems;

	if (!element || size <= 0) {
		json_null(json);
		return;
	}
	if (!count || offset + count * size > bytes->size)
		count = offset < bytes->size ? (bytes->size - offset) / size : 0;
	if (is_char(bytes->btf, element)) {
		const char *text = (const char *)first_filled(bytes, offset, count);

		json_string_n(json, text, strnlen(text, count));
		return;
	}
	json_open(json, '[');
	for (size_t i = 0; i < count; i++)
		btf_json_value(json, bytes, array->type, offset + i * size);
	json_close(json, ']');
}

static void put_bitfield(struct json *json, const struct btf_bytes *bytes, const struct btf_type *type,
			 size_t bit, unsigned int bits)
{
	uint64_t sum = 0;

	for (size_t copy = 0; copy < bytes->copies; copy++) {
		const unsigned char *data = bytes->data + copy * bytes->stride;
		uint64_t value = 0;

		for (unsigned int i = 0; i < bits; i++) {
			size_t at = bit + i;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
			value |= (uint64_t)(data[at / 8] >> at % 8 & 1) << i;
#else
			value = value << 1 | (data[at / 8] >> (7 - at % 8) & 1);
#endif
		}
		sum += value;
	}
	if (btf_is_any_enum(type))
		put_enum(json, bytes->btf, type, sum);
	else
		put_number(json, type, sum, bits);
}

static void put_member(struct json *json, const struct btf_bytes *bytes, const struct btf_type *type, int index,
		       size_t offset)
{
	const struct btf_member *member = btf_members(type) + index;
	const struct btf_type *member_type = btf_resolve(bytes->btf, member->type);
	const char *name = btf__name_by_offset(bytes->btf, member->name_off);
	__u32 bit = btf_member_bit_offset(type, index);
	__u32 bits = btf_member_bitfield_size(type, index);

	if (!*name) {
		/* An unnamed bit field is padding; an unnamed struct lends its members to the outer one. */
		if (member_type && btf_is_composite(member_type))
			put_members(json, bytes, member_type, offset + bit / 8);
		return;
	}
	json_key(json, name);
	if (!bits || !member_type)
		btf_json_value(json, bytes, member->type, offset + bit / 8);
	else if ((offset * 8 + bit + bits + 7) / 8 <= bytes->size)
		put_bitfield(json, bytes, member_type, offset * 8 + bit, bits);
	else
		json_null(json);
}

static void put_members(struct json *json, const struct btf_bytes *bytes, const struct btf_type *type, size_t offset)
{
	for (int i = 0; i < btf_vlen(type); i++)
		put_member(json, bytes, type, i, offset);
}

static void put_scalar(struct json *json, const struct btf_bytes *bytes, const struct btf_type *type, size_t offset,
		       size_t size)
{
	const unsigned char *data = first_filled(bytes, offset, size);

	if (btf_is_float(type))
		put_float(json, data, size);
	else if (btf_is_ptr(type) || size > 8)
		put_wide(json, data, size);
	else if (btf_is_any_enum(type))
		put_enum(json, bytes->btf, type, load_bytes(data, size));
	else
		put_number(json, type, load_sum(bytes, offset, size), bytes->copies > 1 ? 64 : size * 8);
}

/* A sum over CPUs may need more bits than one value has, but a negative one must stay negative. */
static void put_signed_sum(struct json *json, const struct btf_bytes *bytes, size_t offset, size_t size)
{
	int64_t sum = 0;

	for (size_t copy = 0; copy < bytes->copies; copy++)
		sum += sign_extend(load_bytes(bytes->data + copy * bytes->stride + offset, size), size * 8);
	json_signed(json, sum);
}

void btf_json_value(struct json *json, const struct btf_bytes *bytes, __u32 type_id, size_t offset)
{
	const struct btf_type *type = btf_resolve(bytes->btf, type_id);
	__s64 size = type ? btf__resolve_size(bytes->btf, type_id) : -1;

	if (!type || size < 0 || offset >= bytes->size + !size) {
		json_null(json);
	} else if (btf_is_composite(type)) {
		json_open(json, '{');
		put_members(json, bytes, type, offset);
		json_close(json, '}');
	} else if (btf_is_array(type)) {
		put_array(json, bytes, type, offset);
	} else if (offset + size > bytes->size) {
		json_null(json);
	} else if (bytes->copies > 1 && btf_is_int(type) && btf_int_encoding(type) & BTF_INT_SIGNED && size <= 8) {
		put_signed_sum(json, bytes, offset, size);
	} else {
		put_scalar(json, bytes, type, offset, size);
	}
}

void btf_json_untyped(struct json *json, const struct btf_bytes *bytes)
{
	size_t size = bytes->size;

	if (size == 1 || size == 2 || size == 4 || size == 8)
		json_unsigned(json, load_sum(bytes, 0, size));
	else
		json_hex(json, bytes->data, bytes->copies > 1 ? bytes->copies * bytes->stride : size);
}

void btf_type_name(const struct btf *btf, __u32 type_id, char *name, size_t size)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);
	const char *kind = "";

	while (type && btf_is_mod(type))
		type = btf__type_by_id(btf, type->type);
	if (type && btf_is_struct(type))
		kind = "struct ";
	else if (type && btf_is_union(type))
		kind = "union ";
	snprintf(name, size, "%s%s", kind, type ? btf__name_by_offset(btf, type->name_off) : "");
}

bool btf_is_flexible(const struct btf *btf, __u32 type_id)
{
	const struct btf_type *type = btf_resolve(btf, type_id);
	const struct btf_type *last;

	if (!type || !btf_is_struct(type) || !btf_vlen(type))
		return false;
	last = btf_resolve(btf, btf_members(type)[btf_vlen(type) - 1].type);
	return last && btf_is_array(last) && !btf_array(last)->nelems;
}
