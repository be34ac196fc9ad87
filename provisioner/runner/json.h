/* A JSON text written front to back into a growing buffer; commas are put where they belong. */
#ifndef RUNNER_JSON_H
#define RUNNER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
	char *text;
	size_t size;
	size_t capacity;
	bool comma; /* the next value follows another one */
};

void json_open(struct json *json, char bracket);  /* '{' or '[' */
void json_close(struct json *json, char bracket); /* '}' or ']' */
void json_key(struct json *json, const char *key);

/* Text of unknown origin: control characters are escaped, bytes that are not UTF-8 become U+FFFD. */
void json_string_n(struct json *json, const char *text, size_t length);
void json_string(struct json *json, const char *text); /* NULL becomes null */
void json_hex(struct json *json, const void *data, size_t size);
void json_unsigned(struct json *json, uint64_t value);
void json_signed(struct json *json, int64_t value);
void json_double(struct json *json, double value);
void json_bool(struct json *json, bool value);
void json_null(struct json *json);

/* "key": value */
void json_put_string(struct json *json, const char *key, const char *text);
void json_put_unsigned(struct json *json, const char *key, uint64_t value);
void json_put_double(struct json *json, const char *key, double value);
void json_put_bool(struct json *json, const char *key, bool value);

/* The caller vouches for what it appends. */
void json_raw(struct json *json, const char *text, size_t length);

#endif
