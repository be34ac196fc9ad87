#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct json *json, size_t more)
{
	size_t capacity = json->capacity ? json->capacity : 4096;

	if (json->size + more <= json->capacity)
		return;
	while (capacity < json->size + more)
		capacity *= 2;
	json->text = realloc(json->text, capacity);
	if (!json->text)
		abort(); /* out of memory: nothing can be said any more */
	json->capacity = capacity;
}

void json_raw(struct json *json, const char *text, size_t length)
{
	reserve(json, length);
	memcpy(json->text + json->size, text, length);
	json->size += length;
}

static void put_char(struct json *json, char c)
{
	reserve(json, 1);
	json->text[json->size++] = c;
}

static void begin_value(struct json *json)
{
	if (json->comma)
		put_char(json, ',');
	json->comma = true;
}

void json_open(struct json *json, char bracket)
{
	begin_value(json);
	put_char(json, bracket);
	json->comma = false;
}

void json_close(struct json *json, char bracket)
{
	put_char(json, bracket);
	json->comma = true;
}

/* The length of the UTF-8 sequence at p, 0 if it is not one (overlong forms and surrogates included). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
		return 0;
	if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return length;
}

static void put_escape(struct json *json, unsigned char c)
{
	char text[8];
	int length;

	if (c == '"' || c == '\\')
		length = snprintf(text, sizeof(text), "\\%c", c);
	else if (c == '\n')
		length = snprintf(text, sizeof(text), "\\n");
	else
		length = snprintf(text, sizeof(text), "\\u%04x", c);
	json_raw(json, text, length);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void json_string_n(struct json *json, const char *text, size_t length)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + length;

	begin_value(json);
	put_char(json, '"');
	while (p < end) {
		const unsigned char *from = p;
		size_t sequence;

		while (p < end && is_plain(*p))
			p++;
		json_raw(json, (const char *)from, p - from);
		if (p == end)
			break;
		sequence = utf8_length(p, end - p);
		if (sequence > 1)
			json_raw(json, (const char *)p, sequence);
		else if (sequence == 1)
			put_escape(json, *p);
		else
			json_raw(json, "\xef\xbf\xbd", 3);
		p += sequence ? sequence : 1;
	}
	put_char(json, '"');
}

void json_string(struct json *json, const char *text)
{
	if (text)
		json_string_n(json, text, strlen(text));
	else
		json_null(json);
}

void json_key(struct json *json, const char *key)
{
	json_string(json, key);
	put_char(json, ':');
	json->comma = false;
}

void json_hex(struct json *json, const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	begin_value(json);
	reserve(json, 2 * size + 2);
	put_char(json, '"');
	for (size_t i = 0; i < size; i++) {
		put_char(json, digits[bytes[i] >> 4]);
		put_char(json, digits[bytes[i] & 15]);
	}
	put_char(json, '"');
}

void json_unsigned(struct json *json, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	/* By hand: events are mostly numbers, and printf is the larger part of their cost. */
	do {
		digits[--at] = '0' + value % 10;
		value /= 10;
	} while (value);
	begin_value(json);
	json_raw(json, digits + at, sizeof(digits) - at);
}

void json_signed(struct json *json, int64_t value)
{
	if (value >= 0) {
		json_unsigned(json, value);
		return;
	}
	begin_value(json);
	put_char(json, '-');
	json->comma = false;
	json_unsigned(json, -(uint64_t)value);
}

void json_double(struct json *json, double value)
{
	char text[40];
	int length;

	if (!isfinite(value)) { /* JSON has no word for it */
		json_null(json);
		return;
	}
	length = snprintf(text, sizeof(text), "%.9g", value);
	begin_value(json);
	json_raw(json, text, length);
}

void json_bool(struct json *json, bool value)
{
	begin_value(json);
	json_raw(json, value ? "true" : "false", value ? 4 : 5);
}

void json_null(struct json *json)
{
	begin_value(json);
	json_raw(json, "null", 4);
}

void json_put_string(struct json *json, const char *key, const char *text)
{
	json_key(json, key);
	json_string(json, text);
}

void json_put_unsigned(struct json *json, const char *key, uint64_t value)
{
	json_key(json, key);
	json_unsigned(json, value);
}

void json_put_double(struct json *json, const char *key, double value)
{
	json_key(json, key);
	json_double(json, value);
}

void json_put_bool(struct json *json, const char *key, bool value)
{
	json_key(json, key);
	json_bool(json, value);
}
