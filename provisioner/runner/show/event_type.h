/* Which struct a record is, in the order of how sure one can be. */
#ifndef RUNNER_EVENT_TYPE_H
#define RUNNER_EVENT_TYPE_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The struct or union behind a type, 0 when it is none. Of a struct that has no name but a typedef this is the
 * typedef.
 */
__u32 event_type_struct(const struct btf *btf, __u32 type_id);

/*
 * What a record of this many bytes in map "map" is, or 0. Looked at in this order:
 *   - anchors of the build: a variable "__ebpf_dev_event_MAP" (of several structs "__ebpf_dev_event_1_MAP" and so on)
 *     is a pointer to the type of the records, which may be shorter or longer
 *   - any other global pointer to a struct of this very length (const struct event *unused)
 *   - the only struct of this length that is called an event, or the only one at all unless it is the kernel's: a guess
 *   - the longest struct below that length which a global pointer names: a guess
 * Records of perf buffers are padded.
 */
__u32 event_type_find(const struct btf *btf, const char *map, size_t size, bool padded, bool *guessed);

#endif
