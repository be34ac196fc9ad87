/* What a network program decided, counted: often the only thing it lets one see. */
#ifndef RUNNER_VERDICTS_H
#define RUNNER_VERDICTS_H

#include "json.h"
#include "run.h"

/* Hooks a counter behind an XDP or tc program; without one (old kernel, no JIT) there are just no verdicts. */
void verdicts_watch(struct program *program);
void verdicts_put(struct json *json, const struct program *program);
void verdicts_close(struct program *program);

#endif
