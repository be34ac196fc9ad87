#include "event_type.h"

#include "btf_json.h"

__u32 event_type_struct(const struct btf *btf, __u32 type_id)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);

	while (type && (btf_is_mod(type) || btf_is_typedef(type))) {
		type_id = type->type;
		type = btf__type_by_id(btf, type_id);
	}
	return type && btf_is_composite(type) ? type_id : 0;
}

/* A record and the 4 bytes of its length are padded to 8 bytes in a perf buffer. */
static size_t padded_size(size_t size)
{
	return (size + 4 + 7) / 8 * 8 - 4;
}

static bool has_size(const struct btf *btf, __u32 type_id, size_t size, bool padded)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);

	return type->size == size || (padded && type->size && padded_size(type->size) == size);
}

static __u32 anchored_struct(const struct btf *btf, const struct btf_type *variable)
{
	const struct btf_type *type = btf_resolve(btf, variable->type);

	return type && btf_is_ptr(type) ? event_type_struct(btf, type->type) : 0;
}

static __u32 find_anchored(const struct btf *btf, size_t size, bool padded)
{
	__u32 found = 0;

	for (__u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		__u32 candidate = btf_is_var(type) ? anchored_struct(btf, type) : 0;

		if (!candidate || candidate == found || !has_size(btf, candidate, size, padded))
			continue;
		if (found)
			return 0;
		found = candidate;
	}
	return found;
}

static bool has_name(const struct btf *btf, const struct btf_type *type)
{
	return *btf__name_by_offset(btf, type->name_off);
}

static __u32 find_any(const struct btf *btf, size_t size, bool padded)
{
	__u32 found = 0;

	for (__u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (!btf_is_struct(type) || !has_name(btf, type) || !has_size(btf, id, size, padded))
			continue;
		if (found)
			return 0;
		found = id;
	}
	return found;
}

__u32 event_type_by_size(const struct btf *btf, size_t size, bool padded, bool *guessed)
{
	__u32 found = find_anchored(btf, size, padded);

	*guessed = !found;
	return found ? found : find_any(btf, size, padded);
}
