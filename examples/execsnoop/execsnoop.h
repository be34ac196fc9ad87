/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the kernel side sends and the companion program reads: both include this file. */
#ifndef EXECSNOOP_H
#define EXECSNOOP_H

#define COMM_LEN 16 /* the kernel's TASK_COMM_LEN */
#define FILE_LEN 128
#define ARGS_LEN 256 /* a power of two, so that a length can be masked for the verifier */

struct event {
	unsigned int pid;
	unsigned int ppid;
	unsigned int uid;
	unsigned int args_len; /* bytes of args in use */
	char comm[COMM_LEN];
	char file[FILE_LEN];
	char args[ARGS_LEN]; /* the arguments one after the other, a NUL after each */
};

#endif
