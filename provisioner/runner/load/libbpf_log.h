/* libbpf explains itself in warnings; they are kept for the error that follows, or passed on. */
#ifndef RUNNER_LIBBPF_LOG_H
#define RUNNER_LIBBPF_LOG_H

#include <stdbool.h>

void libbpf_log_start(bool verbose);
const char *libbpf_log_text(void);	/* the warnings since the last clear, "" when none */
const char *libbpf_log_last_line(void); /* without "libbpf: ", "" when none */
void libbpf_log_clear(void);
void libbpf_log_forward(void);		/* as log messages, then clear */

#endif
