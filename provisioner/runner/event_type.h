/* Which struct a record is, in the order of how sure one can be. */
#ifndef RUNNER_EVENT_TYPE_H
#define RUNNER_EVENT_TYPE_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stddef.h>

/* The struct or union behind a type, 0 when it is none. */
__u32 event_type_struct(const struct btf *btf, __u32 type_id);

/*
 * The one struct whose length is the record's: first among those that a global pointer names
 * (const struct event *unused), then among all. 0 when none or several have it. Records of perf buffers are
 * padded.
 */
__u32 event_type_by_size(const struct btf *btf, size_t size, bool padded, bool *guessed);

#endif
