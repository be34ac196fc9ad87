#include "load/values.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "show/btf_json.h"

/* A text being read from front to back. */
struct reader {
	const struct btf *btf;
	const char *at;
	unsigned int depth; /* of braces; outside of any, a comma may belong to the text of a char array */
	char *why;
	size_t why_size;
};

static bool read_value(struct reader *reader, __u32 type_id, unsigned char *data);

static bool value_error(const struct reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool value_error(const struct reader *reader, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reader->why, reader->why_size, format, arguments);
	va_end(arguments);
	return false;
}

static void skip_blanks(struct reader *reader)
{
	reader->at += strspn(reader->at, " ");
}

static bool skip_char(struct reader *reader, char c)
{
	skip_blanks(reader);
	if (*reader->at != c)
		return false;
	reader->at++;
	return true;
}

/* The next word, up to a comma or a brace. */
static size_t word_length(const struct reader *reader)
{
	size_t length = strcspn(reader->at, ",{}");

	while (length && reader->at[length - 1] == ' ')
		length--;
	return length;
}

static void take_word(struct reader *reader, char *word, size_t size)
{
	size_t length;

	skip_blanks(reader);
	length = word_length(reader);
	snprintf(word, size, "%.*s", (int)length, reader->at);
	reader->at += length;
}

static bool parse_ethernet(const char *word, unsigned char *data)
{
	unsigned int part[6];
	int end = 0;

	if (sscanf(word, "%2x:%2x:%2x:%2x:%2x:%2x%n", &part[0], &part[1], &part[2], &part[3], &part[4], &part[5],
		   &end) != 6 || word[end])
		return false;
	for (int i = 0; i < 6; i++)
		data[i] = part[i];
	return true;
}

static bool parse_address(const char *word, unsigned char *data, size_t size)
{
	return (size == 4 && strchr(word, '.') && inet_pton(AF_INET, word, data) == 1) ||
	       (size == 6 && parse_ethernet(word, data)) || (size == 16 && inet_pton(AF_INET6, word, data) == 1);
}

static bool parse_hex(const char *word, unsigned char *data, size_t size)
{
	size_t digits = 2 * size;

	if (strncmp(word, "0x", 2) || strlen(word) != 2 + digits ||
	    strspn(word + 2, "0123456789abcdefABCDEF") != digits)
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned int byte;

		sscanf(word + 2 + 2 * i, "%2x", &byte);
		data[i] = byte;
	}
	return true;
}

/* What is written as one word though it is several bytes; the reader stays where it is when it is nothing of that. */
static bool read_bytes(struct reader *reader, unsigned char *data, size_t size, bool hex)
{
	struct reader ahead = *reader;
	char word[256];

	take_word(&ahead, word, sizeof(word));
	if (!parse_address(word, data, size) && !(hex && parse_hex(word, data, size)))
		return false;
	*reader = ahead;
	return true;
}

static void store_number(unsigned char *data, size_t size, __u64 value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	memcpy(data, &value, size);
#else
	memcpy(data, (unsigned char *)&value + sizeof(value) - size, size);
#endif
}

/* Both readings are allowed: -1 for an unsigned, 0xffffffff for a signed one. */
static bool number_fits(bool negative, __u64 value, unsigned int bits)
{
	if (bits >= 64)
		return true;
	return negative ? (__s64)value >= -(1LL << (bits - 1)) : value < 1ULL << bits;
}

static bool parse_number(const char *word, bool *negative, __u64 *value)
{
	char *end;

	errno = 0;
	*negative = *word == '-';
	*value = *negative ? (__u64)strtoll(word, &end, 0) : strtoull(word, &end, 0);
	return *word && end != word && !*end && !errno;
}

static bool find_enumerator(const struct btf *btf, const struct btf_type *type, const char *word, __u64 *value)
{
	for (int i = 0; i < btf_vlen(type); i++) {
		bool wide = btf_is_enum64(type);
		__u32 name = wide ? btf_enum64(type)[i].name_off : btf_enum(type)[i].name_off;

		if (strcmp(btf__name_by_offset(btf, name), word))
			continue;
		*value = wide ? btf_enum64_value(&btf_enum64(type)[i]) : (__u64)btf_enum(type)[i].val;
		return true;
	}
	return false;
}

static bool refuse_enumerator(const struct reader *reader, const struct btf_type *type, const char *word)
{
	char names[300] = "";
	size_t used = 0;

	for (int i = 0; i < btf_vlen(type) && used < sizeof(names); i++) {
		__u32 name = btf_is_enum64(type) ? btf_enum64(type)[i].name_off : btf_enum(type)[i].name_off;

		used += snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
				 btf__name_by_offset(reader->btf, name));
	}
	return value_error(reader, "\"%s\" is none of %s", word, names);
}

static bool read_number(struct reader *reader, const struct btf_type *type, unsigned int bits, __u64 *value)
{
	bool is_enum = type && btf_is_any_enum(type);
	bool negative;
	char word[256];

	take_word(reader, word, sizeof(word));
	if (is_enum && find_enumerator(reader->btf, type, word, value))
		return true;
	if (!strcmp(word, "true") || !strcmp(word, "false")) {
		*value = *word == 't';
		return true;
	}
	if (!parse_number(word, &negative, value))
		return is_enum ? refuse_enumerator(reader, type, word) :
				 value_error(reader, "\"%s\" is not a number", word);
	return number_fits(negative, *value, bits) || value_error(reader, "%s does not fit into %u bits", word, bits);
}

static bool read_float(struct reader *reader, unsigned char *data, size_t size)
{
	char word[64], *end;
	double value;
	float single;

	take_word(reader, word, sizeof(word));
	value = strtod(word, &end);
	single = value;
	if (!*word || *end)
		return value_error(reader, "\"%s\" is not a number", word);
	if (size != sizeof(single) && size != sizeof(value))
		return value_error(reader, "a float of %zu bytes cannot be set", size);
	memcpy(data, size == sizeof(single) ? (void *)&single : &value, size);
	return true;
}

static bool read_scalar(struct reader *reader, const struct btf_type *type, unsigned char *data, size_t size)
{
	__u64 value;

	if (type && btf_is_float(type))
		return read_float(reader, data, size);
	if (read_bytes(reader, data, size, size > sizeof(value) || size & (size - 1)))
		return true;
	if (size > sizeof(value))
		return value_error(reader, "\"%s\" is not %zu bytes; write 0x and %zu digits", reader->at, size,
				   2 * size);
	if (!read_number(reader, type, size * 8, &value))
		return false;
	store_number(data, size, value);
	return true;
}

/* Text goes on to the end, or inside braces to the next comma; "..." keeps commas and braces in it. */
static bool read_text(struct reader *reader, unsigned char *data, size_t size)
{
	const char *text;
	size_t length;

	skip_blanks(reader);
	text = reader->at;
	if (*text == '"' && strchr(text + 1, '"')) {
		length = strcspn(++text, "\"");
		reader->at = text + length + 1;
	} else {
		length = reader->depth ? word_length(reader) : strlen(text);
		reader->at = text + length;
	}
	if (length > size)
		return value_error(reader, "\"%.*s\" is longer than %zu characters", (int)length, text, size);
	memcpy(data, text, length);
	return true;
}

static bool is_text(const struct btf *btf, const struct btf_type *element)
{
	const char *name = btf__name_by_offset(btf, element->name_off);

	return btf_is_int(element) && element->size == 1 && !strcmp(name, "char");
}

/* Calls read_item for each item of a list, in braces or not; the items may be fewer than limit. */
static bool read_list(struct reader *reader, const struct btf_type *type, unsigned char *data, size_t limit,
		      bool (*read_item)(struct reader *, const struct btf_type *, size_t, unsigned char *))
{
	bool braces = skip_char(reader, '{');
	size_t count = 0;

	reader->depth++;
	skip_blanks(reader);
	while (*reader->at && *reader->at != '}' && count < limit) {
		if (!read_item(reader, type, count++, data))
			return false;
		if (!skip_char(reader, ','))
			break;
		skip_blanks(reader);
	}
	reader->depth--;
	if (braces && !skip_char(reader, '}'))
		return value_error(reader, "expected } at \"%s\"", reader->at);
	return true;
}

static bool read_element(struct reader *reader, const struct btf_type *type, size_t index, unsigned char *data)
{
	__s64 size = btf__resolve_size(reader->btf, btf_array(type)->type);

	return read_value(reader, btf_array(type)->type, data + index * size);
}

static bool read_array(struct reader *reader, const struct btf_type *type, unsigned char *data)
{
	const struct btf_array *array = btf_array(type);
	const struct btf_type *element = btf_resolve(reader->btf, array->type);
	__s64 size = btf__resolve_size(reader->btf, array->type);

	if (!element || size <= 0)
		return value_error(reader, "its type is not known");
	if (is_text(reader->btf, element))
		return read_text(reader, data, array->nelems);
	return read_bytes(reader, data, size * array->nelems, size == 1) ||
	       read_list(reader, type, data, array->nelems, read_element);
}

static int find_member(const struct reader *reader, const struct btf_type *type)
{
	size_t length = strcspn(reader->at, ":,{}");

	for (int i = 0; reader->at[length] == ':' && i < btf_vlen(type); i++) {
		const char *name = btf__name_by_offset(reader->btf, btf_members(type)[i].name_off);

		if (strlen(name) == length && !strncmp(name, reader->at, length))
			return i;
	}
	return -1;
}

static void store_bits(unsigned char *data, __u32 bit, __u32 bits, __u64 value)
{
	for (__u32 i = 0; i < bits; i++) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		unsigned char mask = 1 << (bit + i) % 8;
		bool on = value >> i & 1;
#else
		unsigned char mask = 0x80 >> (bit + i) % 8;
		bool on = value >> (bits - 1 - i) & 1;
#endif
		unsigned char *byte = data + (bit + i) / 8;

		*byte = on ? *byte | mask : *byte & ~mask;
	}
}

static bool read_member(struct reader *reader, const struct btf_type *type, size_t index, unsigned char *data)
{
	const struct btf_member *member;
	__u32 bits, bit;
	__u64 value;
	int named;

	skip_blanks(reader);
	named = find_member(reader, type);
	if (named >= 0) {
		index = named;
		reader->at += strcspn(reader->at, ":") + 1;
	}
	member = btf_members(type) + index;
	bit = btf_member_bit_offset(type, index);
	bits = btf_member_bitfield_size(type, index);
	if (!bits)
		return read_value(reader, member->type, data + bit / 8);
	if (!read_number(reader, btf_resolve(reader->btf, member->type), bits, &value))
		return false;
	store_bits(data, bit, bits, value);
	return true;
}

static bool read_composite(struct reader *reader, const struct btf_type *type, unsigned char *data)
{
	return read_bytes(reader, data, type->size, true) ||
	       read_list(reader, type, data, btf_is_union(type) ? 1 : btf_vlen(type), read_member);
}

static bool read_value(struct reader *reader, __u32 type_id, unsigned char *data)
{
	const struct btf_type *type = btf_resolve(reader->btf, type_id);
	__s64 size = type ? btf__resolve_size(reader->btf, type_id) : -1;

	if (size < 0)
		return value_error(reader, "its type is not known");
	if (btf_is_array(type))
		return read_array(reader, type, data);
	return btf_is_composite(type) ? read_composite(reader, type, data) : read_scalar(reader, type, data, size);
}

bool value_parse(const struct value_place *place, const char *text, char *why, size_t why_size)
{
	struct reader reader = { place->btf, text, 0, why, why_size };
	bool typed = place->btf && place->type_id;

	if (!place->size)
		return !*text || value_error(&reader, "it has no content");
	if (typed && btf__resolve_size(place->btf, place->type_id) > (__s64)place->size)
		return value_error(&reader, "its type is larger than its place");
	memset(place->data, 0, place->size);
	if (!(typed ? read_value(&reader, place->type_id, place->data) :
		      read_scalar(&reader, NULL, place->data, place->size)))
		return false;
	skip_blanks(&reader);
	return !*reader.at || value_error(&reader, "\"%s\" is too much", reader.at);
}

void value_type_text(const struct btf *btf, __u32 type_id, char *text, size_t size)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);
	size_t used;

	while (type && btf_is_mod(type)) {
		type_id = type->type;
		type = btf__type_by_id(btf, type_id);
	}
	if (type && btf_is_array(type)) {
		value_type_text(btf, btf_array(type)->type, text, size);
		used = strlen(text);
		snprintf(text + used, size - used, "[%u]", btf_array(type)->nelems);
	} else if (type && btf_is_ptr(type)) {
		snprintf(text, size, "pointer");
	} else if (type && btf_is_any_enum(type)) {
		snprintf(text, size, "enum %s", btf__name_by_offset(btf, type->name_off));
	} else {
		btf_type_name(btf, type_id, text, size);
	}
}
