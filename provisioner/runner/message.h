/*
 * What the runner says: JSON lines on stdout, one message an object, its kind in "type". Numbers are JSON numbers
 * (64-bit integers are exact), text is valid UTF-8. Fields marked ? may be absent or null; readers ignore fields and
 * types they do not know.
 *
 *   stage     name: load|attach|run, ok, seconds           when the stage has ended
 *   program   name, section, program_type, state: attached|skipped|failed, target?, reason?
 *             after the attach stage, one for each program of the object; after the run again for those attached, then
 *             with run_count, run_time_ns and for network and cgroup types verdicts?: {"XDP_PASS": 37}; the later one
 *             replaces the earlier
 *   testbed   device, addresses: [..], peer_addresses: [..]  the veth pair, when one was made
 *   printk    text, comm?, pid?, cpu?, time?                 one line of bpf_printk; time is seconds since boot
 *   event     map, struct?, fields? or hex, shown?, guessed?, rest?  one record of a ring or perf buffer. fields is
 *             decoded by BTF as struct; shown has better readings of some of them by path (readings.h); guessed is
 *             true when only its length pointed to the struct; rest is the hex of bytes behind it
 *   lost      source, count                                  records dropped by a perf buffer or the trace buffer, or
 *             by us because nobody read them; source is the map's name or "printk"
 *   trigger   command, text? or status?                      one line of its output, or its end
 *   companion stream: stdout|stderr, text                    one line that the companion program printed
 *   iterator  program, text, hex or records: [{fields, shown?}], struct?, guessed?, truncated?   all it wrote: text,
 *             or records as in an event, all of one struct; truncated counts bytes left out
 *   map       name, map_type, entries: [{key, value, shown?}], truncated?, zeros?, only_read?   at the end, decoded by
 *             BTF. For .bss, .data and .rodata the keys are variable names; a map inside another one is called
 *             "outer[key]". Per-CPU integers are sums. truncated counts entries left out beyond 256, zeros counts
 *             all-zero entries of large arrays left out; only_read: the programs look entries up and never add one
 *   change    map, entries: [{key, value, shown?}], more?    what has changed within the last second, while the
 *             programs neither print nor send anything; more counts changed entries left out
 *   verifier  program, path                                  the whole verifier log of a refused program is in this file
 *   log       level: warning|note, text                      libbpf's warnings, and notes of the runner itself
 *   error     code, brief, details, hint, program?, file?, line?   code is open-failed, load-failed, verifier-rejected,
 *             kernel-lacks, missing-license, bad-parameter (of --set, --map), attach-failed or runner-failed; details
 *             and hint may be empty; file and line are the C source as the verifier log names it
 *   done      status, reason: time|signal|stdin|finished|error    always the last; status is the exit status,
 *             with a companion its own
 */
#ifndef RUNNER_MESSAGE_H
#define RUNNER_MESSAGE_H

#include <stdbool.h>

#include "json.h"

/* Between the two, the caller adds the message's fields to the object. */
struct json *message_begin(const char *type);
void message_end(void);

/* Written at once only when much is waiting: a flood of small messages must not become a flood of small writes. */
void messages_flush(void);	/* what the reader takes now */
void messages_flush_all(void);	/* however long the reader needs */
int messages_due_ms(void);	/* until a flush is due, -1 when nothing waits or the reader is not ready */
bool messages_stuck(void);	/* to be flushed as soon as stdout can be written again */
bool messages_full(void);	/* so much waits for the reader that output must be dropped and counted */
void messages_close(bool closed); /* full in any case: what comes late is only counted */
bool messages_broken(void);	/* nobody reads stdout any more */
bool messages_spoke(void);	/* a program has printed or sent something */

void message_log(const char *level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void message_stage(const char *name, bool ok, double seconds);

struct error_report {
	const char *code;
	const char *brief;
	const char *details;
	const char *hint;
	const char *program;
	const char *file;
	unsigned int line;
};

void message_error(const struct error_report *error);

#endif
