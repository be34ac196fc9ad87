/* What a network program decided, counted: often the only thing it lets one see. */
#ifndef RUNNER_VERDICTS_H
#define RUNNER_VERDICTS_H

#include "json.h"
#include "run.h"

/*
 * Hooks a counter behind a program whose return value has a name (XDP_*, TC_ACT_*, SK_*, NF_*, ...). Without one
 * (Linux before 5.17, no JIT, a kernel locked down) there are no verdicts, and one note.
 */
void verdicts_watch(struct program *program);
void verdicts_put(struct json *json, const struct program *program);
__u64 verdicts_total(const struct program *program); /* 0 when they are not counted */

#endif
