/* The verifier's words about a refused program: whole into a file, the end of them into the error. */
#ifndef RUNNER_VERIFIER_LOG_H
#define RUNNER_VERIFIER_LOG_H

#include "run.h"

#define VERIFIER_LOG_BYTES ((16 << 20) - 1) /* the most that every kernel takes; touched only as far as written */

void verifier_report(const struct options *options, const struct program *program);

#endif
