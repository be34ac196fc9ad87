/* What a round of activity (activity.h) is made of. Failures are ignored: a program may well be there to cause them. */
#ifndef RUNNER_EXERCISES_H
#define RUNNER_EXERCISES_H

/* All in the current directory, which is ours and empty. */
void exercise_files(void);
void exercise_disk(void);

void exercise_processes(void);
void exercise_signals(void);
void exercise_privileges(void);
void exercise_mounts(void);
void exercise_memory(void);
void exercise_reclaim(void);		/* the kernel takes memory back that it may */
void exercise_oom(void);		/* it kills a child of ours for want of memory */
void exercise_threads(void);

void exercise_names(void);
void exercise_sockets(void);
void exercise_retransmission(void);	/* a SYN that nobody has room for is sent again */

void exercise_bpf(void);

void exercise_shell_line(void);		/* a line typed into bash */
void exercise_tls(void);		/* a conversation of two openssl commands */
void exercise_python(void);

/*
 * The system call of that name, as the kernel's tracepoints spell it. Those that the exercises above make anyway
 * are left out; arguments are harmless ones, for most of them invalid ones.
 */
void exercise_call(const char *name);

#endif
