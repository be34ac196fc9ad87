#include "show/event_type.h"

#include <string.h>

#include "show/btf_json.h"
#include "system/kernel_btf.h"

#define ANCHOR "__ebpf_dev_event_"

__u32 event_type_struct(const struct btf *btf, __u32 type_id)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);
	__u32 named = 0;

	while (type && (btf_is_mod(type) || btf_is_typedef(type))) {
		if (btf_is_typedef(type))
			named = type_id;
		type_id = type->type;
		type = btf__type_by_id(btf, type_id);
	}
	if (!type || !btf_is_composite(type))
		return 0;
	return type->name_off || !named ? type_id : named;
}

/* A record and the 4 bytes of its length are padded to 8 bytes in a perf buffer. */
static size_t padded_size(size_t size)
{
	return (size + 4 + 7) / 8 * 8 - 4;
}

/* What the search has found so far among the candidates of one kind. */
struct search {
	const struct btf *btf;
	size_t size;
	bool padded;
	__u32 exact, below, last;
	size_t exact_count, count;
};

static void consider_struct(struct search *search, __u32 type_id)
{
	size_t size = btf__resolve_size(search->btf, type_id);

	if (type_id == search->exact || type_id == search->last)
		return;
	search->count++;
	search->last = type_id;
	if (size == search->size || (search->padded && size && padded_size(size) == search->size)) {
		search->exact = type_id;
		search->exact_count++;
	} else if (size < search->size &&
		   (!search->below || size > (size_t)btf__resolve_size(search->btf, search->below))) {
		search->below = type_id;
	}
}

static const char *struct_name(const struct btf *btf, __u32 type_id)
{
	return btf__name_by_offset(btf, btf__type_by_id(btf, type_id)->name_off);
}

static bool is_anchor_of(const char *variable, const char *map)
{
	const char *rest = variable + strlen(ANCHOR);
	size_t digits;

	if (strncmp(variable, ANCHOR, strlen(ANCHOR)))
		return false;
	digits = strspn(rest, "0123456789");
	return !strcmp(digits ? rest + digits + 1 : rest, map);
}

/* What a global pointer points to, 0 for other types; an anchor may name numbers and arrays too. */
static __u32 pointed_type(const struct btf *btf, const struct btf_type *type, bool anchor)
{
	const struct btf_type *pointer = btf_is_var(type) ? btf_resolve(btf, type->type) : NULL;
	__u32 found;

	if (!pointer || !btf_is_ptr(pointer))
		return 0;
	found = event_type_struct(btf, pointer->type);
	return !found && anchor && btf__resolve_size(btf, pointer->type) > 0 ? pointer->type : found;
}

/* Among the structs that global pointers name; with a map only those that are is_anchor_of of this map. */
static struct search search_pointers(const struct search *wanted, const char *map)
{
	struct search search = *wanted;

	for (__u32 id = 1; id < btf__type_cnt(search.btf); id++) {
		const struct btf_type *type = btf__type_by_id(search.btf, id);
		const char *name = btf__name_by_offset(search.btf, type->name_off);
		__u32 candidate = pointed_type(search.btf, type, map);

		if (candidate && (map ? is_anchor_of(name, map) : !!strncmp(name, ANCHOR, strlen(ANCHOR))))
			consider_struct(&search, candidate);
	}
	return search;
}

/* The kernel's own structs of that kind are contexts of programs, not what they send. */
static bool is_called_event(const char *name)
{
	return strstr(name, "event") && strncmp(name, "trace_event", 11) && strncmp(name, "perf_event", 10) &&
	       strncmp(name, "bpf_perf_event", 14);
}

/* What the kernel has under that name may have been read by the program, but hardly been sent. */
static bool is_of_kernel(const char *name)
{
	return kernel_btf() && btf__find_by_name(kernel_btf(), name) > 0;
}

static struct search search_all(const struct search *wanted, bool called_event)
{
	struct search search = *wanted;

	for (__u32 id = 1; id < btf__type_cnt(search.btf); id++) {
		const struct btf_type *type = btf__type_by_id(search.btf, id);
		const char *name = btf__name_by_offset(search.btf, type->name_off);

		if ((btf_is_struct(type) || btf_is_typedef(type)) && *name && event_type_struct(search.btf, id) == id &&
		    (!called_event || is_called_event(name)))
			consider_struct(&search, id);
	}
	return search;
}

__u32 event_type_find(const struct btf *btf, const char *map, size_t size, bool padded, bool *guessed)
{
	struct search wanted = { .btf = btf, .size = size, .padded = padded };
	struct search anchored = search_pointers(&wanted, map);
	struct search pointed = search_pointers(&wanted, NULL);
	struct search events = search_all(&wanted, true);
	struct search all = search_all(&wanted, false);

	*guessed = false;
	if (anchored.exact)
		return anchored.exact;
	if (anchored.count == 1)
		return anchored.last;
	if (anchored.below)
		return anchored.below;
	if (pointed.exact_count == 1)
		return pointed.exact;
	*guessed = true;
	if (events.exact_count == 1)
		return events.exact;
	if (all.exact_count == 1 && !is_of_kernel(struct_name(btf, all.exact)))
		return all.exact;
	/* A record that is cut behind what it uses of its struct. */
	return pointed.below || pointed.count > 1 ? pointed.below : pointed.last;
}
